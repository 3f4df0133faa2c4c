//! What lies in the engine without being anybody's: images without a name, and what builds left behind.

use std::collections::{BTreeSet, HashMap};

use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, PruneBuildOptionsBuilder, RemoveImageOptions,
};
use pw_plan::room::Unnamed;
use pw_run::Failure;

use super::connect::{Engine, said, status, unless};

impl Engine {
    /// Images that have no name, used or not. One that others are made of is not among them.
    ///
    /// # Errors
    /// The engine does not tell.
    pub async fn unnamed_images(&self) -> Result<Vec<Unnamed>, Failure> {
        let docker = self.docker().await?;
        let filters = HashMap::from([("dangling", vec!["true"])]);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let found = docker.list_images(Some(options)).await;
        let found = found.map_err(|error| Failure::new("could not list images").because(said(error)))?;
        let used = self.used_images().await?;
        let is_named = |tags: &[String]| tags.iter().any(|tag| tag != "<none>:<none>");
        let unnamed = found.into_iter().filter(|image| !is_named(&image.repo_tags));
        let unnamed = unnamed.map(|image| Unnamed {
            is_used: used.contains(&image.id),
            digests: image.repo_digests,
            created: image.created,
            identity: image.id,
        });
        Ok(unnamed.collect())
    }

    /// Of every container, running or not, whoever made it.
    async fn used_images(&self) -> Result<BTreeSet<String>, Failure> {
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let found = self.docker().await?.list_containers(Some(options)).await;
        let found = found.map_err(|error| Failure::new("could not list containers").because(said(error)))?;
        Ok(found.into_iter().filter_map(|one| one.image_id).collect())
    }

    /// Removes images, each only if it still has no name. By its identity alone, the engine would take a name off.
    pub(crate) async fn remove_unnamed_images(&self, identities: &[String]) -> Result<(), Failure> {
        let docker = self.docker().await?;
        let unnamed = self.unnamed_images().await?;
        let still =
            |identity: &&String| unnamed.iter().any(|image| image.identity == **identity && !image.is_used);
        for identity in identities.iter().filter(still) {
            let removed = docker.remove_image(identity, None::<RemoveImageOptions>, None).await;
            // 409: a container was made of it, or an image, a moment ago.
            unless(&[404, 409], removed.map(drop), || format!("could not remove image `{identity}`"))?;
        }
        Ok(())
    }

    /// Removes what no build has used for so long.
    pub(crate) async fn clear_build_cache(&self, unused_seconds: u64) -> Result<(), Failure> {
        let unused = format!("{unused_seconds}s");
        let filters = HashMap::from([("until", vec![unused.as_str()])]);
        let options = PruneBuildOptionsBuilder::default().all(true).filters(&filters).build();
        match self.docker().await?.prune_build(Some(options)).await {
            Ok(_) => Ok(()),
            // An engine that builds without BuildKit keeps no such cache.
            Err(error) if matches!(status(&error), 404 | 501) => Ok(()),
            Err(error) => Err(Failure::new("could not remove build cache").because(said(error))),
        }
    }
}
