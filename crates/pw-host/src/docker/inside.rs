//! What a running container has inside: variables, addresses, mounts; and where the engine keeps a volume.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;

use bollard::models::{ContainerInspectResponse, ContainerSummary};
use bollard::query_parameters::InspectContainerOptions;
use bollard::query_parameters::ListVolumesOptions;
use pw_run::Failure;

use super::connect::{Engine, said, status};
use super::label;
use super::list::label_of;
use crate::failed::io_failed;

/// The label that Compose gives to a volume: its key in the file.
const VOLUME: &str = "com.docker.compose.volume";

/// One running container of a service. Its variables hold secrets: nothing prints it.
pub struct Inside {
    pub id: String,
    /// By id.
    pub image: String,
    pub variables: BTreeMap<String, String>,
    /// One for each network, or this host's own.
    pub addresses: Vec<String>,
    pub command: Vec<String>,
    /// Path in the container → path on the host.
    mounts: BTreeMap<String, String>,
}

impl Engine {
    /// Looks into the container of a service that runs; one that is not this project's is refused.
    ///
    /// # Errors
    /// None runs, or the engine does not answer.
    pub async fn look_inside(&self, project: &str, service: &str) -> Result<Inside, Failure> {
        let found = self.guarded_containers(project, &[service.to_owned()]).await?;
        let runs = |one: &&ContainerSummary| {
            label_of(one, label::ONE_OFF) != Some("True")
                && one.state.is_some_and(|state| state.to_string() == "running")
        };
        let Some(id) = found.iter().find(runs).and_then(|one| one.id.clone()) else {
            let environment = project.strip_prefix(&format!("{}-", self.project)).unwrap_or(project);
            return Err(Failure::new(format!("`{service}` of environment `{environment}` does not run"))
                .hint(format!("start it with `partywall up {environment}`")));
        };
        let found = self.docker().await?.inspect_container(&id, None::<InspectContainerOptions>).await;
        let found = found
            .map_err(|error| Failure::new(format!("could not inspect `{service}`")).because(said(error)))?;
        Ok(inside(id, found))
    }

    /// The value that an image gives to a variable.
    ///
    /// # Errors
    /// The engine has no such image, or does not answer.
    pub async fn image_variable(&self, image: &str, name: &str) -> Result<Option<String>, Failure> {
        let found = self.docker().await?.inspect_image(image).await;
        let found = found.map_err(|error| {
            Failure::new(format!("could not look at image `{image}`"))
                .because(said(error))
                .hint("`partywall up ENVIRONMENT` builds or pulls it")
        })?;
        let variables = found.config.and_then(|config| config.env).unwrap_or_default();
        let pairs = variables.iter().filter_map(|text| text.split_once('='));
        Ok(pairs.filter(|(known, _)| *known == name).map(|(_, value)| value.to_owned()).next())
    }

    /// The folder of the host in which a volume lies; `None` when there is no such volume.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn volume_path(&self, name: &str) -> Result<Option<String>, Failure> {
        match self.docker().await?.inspect_volume(name).await {
            Ok(volume) => Ok(Some(volume.mountpoint)),
            Err(error) if status(&error) == 404 => Ok(None),
            Err(error) => {
                Err(Failure::new(format!("could not inspect volume `{name}`")).because(said(error)))
            }
        }
    }

    /// The folder of the host in which a volume of the Compose project lies.
    ///
    /// # Errors
    /// There is no such volume, or it does not lie in a folder of this host.
    pub async fn volume_folder(&self, project: &str, key: &str) -> Result<String, Failure> {
        let found = self.docker().await?.list_volumes(None::<ListVolumesOptions>).await;
        let found = found.map_err(|error| Failure::new("could not list volumes").because(said(error)))?;
        let ours = |labels: &HashMap<String, String>| {
            let of = |key: &str| labels.get(key).map(String::as_str);
            of(label::PROJECT) == Some(project) && of(VOLUME) == Some(key)
        };
        let volume = found.volumes.into_iter().flatten().find(|volume| ours(&volume.labels));
        let Some(volume) = volume else {
            return Err(Failure::new(format!("`{project}` has no volume `{key}`")).hint(
                "name it as Compose does; `docker volume ls` lists them with the project before the name",
            ));
        };
        Ok(volume.mountpoint)
    }
}

fn inside(id: String, found: ContainerInspectResponse) -> Inside {
    let config = found.config.unwrap_or_default();
    let variables = config.env.unwrap_or_default();
    let variables = variables.iter().filter_map(|text| text.split_once('='));
    let mounts = found.mounts.unwrap_or_default();
    let mounts = mounts.into_iter().filter_map(|mount| Some((mount.destination?, mount.source?)));
    let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let mut addresses: Vec<String> = networks
        .into_values()
        .filter_map(|network| network.ip_address)
        .filter(|text| !text.is_empty())
        .collect();
    addresses.sort();
    if found.host_config.and_then(|host| host.network_mode).as_deref() == Some("host") {
        addresses = vec!["127.0.0.1".into()];
    }
    Inside {
        id,
        image: found.image.unwrap_or_default(),
        variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        addresses,
        command: [config.entrypoint, config.cmd].into_iter().flatten().flatten().collect(),
        mounts: mounts.collect(),
    }
}

impl Inside {
    /// The value of a variable, or the content of the file that `NAME_FILE` names.
    ///
    /// # Errors
    /// The file cannot be read from here.
    pub fn secret(&self, name: &str) -> Result<Option<String>, Failure> {
        if let Some(value) = self.variables.get(name).filter(|value| !value.is_empty()) {
            return Ok(Some(value.clone()));
        }
        let Some(file) = self.variables.get(&format!("{name}_FILE")).filter(|file| !file.is_empty()) else {
            return Ok(None);
        };
        let path = self.on_host(file).ok_or_else(|| {
            Failure::new(format!("`{file}`, which `{name}_FILE` names, is not mounted from this host"))
                .hint("name a variable that holds the password: `password: NAME` under `databases:`")
        })?;
        let text = fs::read_to_string(&path).map_err(|error| io_failed("read", &path, error))?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// Where a path of the container lies on the host; `None` when it is in no mount.
    pub fn on_host(&self, path: &str) -> Option<PathBuf> {
        let inside = |(to, from): (&String, &String)| {
            let rest = path.strip_prefix(to.as_str())?;
            let whole = rest.is_empty() || rest.starts_with('/') || to.ends_with('/');
            let plain = !rest.split('/').any(|part| part == "..");
            (whole && plain).then(|| (to.len(), format!("{from}{rest}")))
        };
        self.mounts.iter().filter_map(inside).max().map(|(_, path)| PathBuf::from(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)], mounts: &[(&str, &str)]) -> Inside {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        Inside {
            id: String::new(),
            image: String::new(),
            variables: map(variables),
            addresses: Vec::new(),
            command: Vec::new(),
            mounts: map(mounts),
        }
    }

    #[test]
    fn the_deepest_mount_holds_a_path() {
        let inside = with(&[], &[("/data", "/host/a"), ("/data/x", "/host/b")]);
        let on_host = |path| inside.on_host(path).map(|path| path.display().to_string());
        assert_eq!(on_host("/data/x/y").as_deref(), Some("/host/b/y"));
        assert_eq!(on_host("/data/xy").as_deref(), Some("/host/a/xy"));
        assert_eq!(on_host("/data").as_deref(), Some("/host/a"));
        assert_eq!(on_host("/database"), None);
        assert_eq!(on_host("/data/../etc"), None);
    }

    #[test]
    fn a_password_stands_in_a_variable_or_in_the_file_that_it_names() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "from a file\n").expect("written");
        let host = file.path().to_str().expect("a path");
        let inside = with(
            &[("A", "plain"), ("B_FILE", "/run/secrets/b"), ("C_FILE", "/elsewhere")],
            &[("/run/secrets/b", host)],
        );
        assert_eq!(inside.secret("A").expect("read").as_deref(), Some("plain"));
        assert_eq!(inside.secret("B").expect("read").as_deref(), Some("from a file"));
        assert_eq!(inside.secret("none").expect("read"), None);
        assert!(inside.secret("C").is_err());
    }
}
