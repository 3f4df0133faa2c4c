//! Building images within a control group, which Compose itself cannot ask for.

use std::collections::BTreeMap;
use std::path::Path;

use futures_util::future::try_join_all;
use pw_plan::step::ComposeRun;
use pw_run::Failure;
use serde_json::{Map, Value};
use tokio::process::Command;

use super::process::{self, builder};
use super::run::{OnLine, carry_out, listed, parsed, stream};

/// What `docker buildx build` is told for one service.
#[derive(Debug, Default, PartialEq)]
struct Build {
    words: Vec<String>,
    /// Arguments' values: words of a command can be read by everybody on the host.
    variables: BTreeMap<String, String>,
    /// A Dockerfile that stands in the Compose file itself.
    inline: Option<String>,
    context: String,
}

/// Builds the images of these services, each within the group where there is one.
///
/// # Errors
/// A build fails; its last lines are the cause.
pub async fn build(
    run: &ComposeRun,
    services: &[String],
    group: Option<&str>,
    on_line: OnLine<'_>,
) -> Result<(), Failure> {
    let what = format!("could not build {}", listed(services));
    let Some(group) = group else { return carry_out(run, &["build"], services, on_line, what).await };
    let file = parsed(Path::new(&run.file))?;
    let builds: Option<Vec<Build>> =
        services.iter().map(|name| Build::of(&file, &run.project, name, group)).collect();
    match builds {
        Some(builds) if process::builder_version().await.is_some() => {
            try_join_all(builds.iter().map(|build| build.carry_out(&what, on_line))).await.map(drop)
        }
        _ => {
            if let Some(tell) = on_line {
                tell(
                    "built without limits: Docker's buildx is missing, or the build asks for what only Compose knows",
                );
            }
            carry_out(run, &["build"], services, on_line, what).await
        }
    }
}

impl Build {
    /// `None` for a build that has something which only Compose understands.
    fn of(file: &Value, project: &str, name: &str, group: &str) -> Option<Self> {
        let service = file.get("services")?.get(name)?;
        let definition = service.get("build")?.as_object()?;
        let mut build = Self::default();
        let image = service.get("image").and_then(Value::as_str).map(str::to_owned);
        build.word("--tag", image.unwrap_or_else(|| format!("{project}-{name}")));
        build.word("--cgroup-parent", parent(group));
        for (label, value) in [("project", project), ("service", name)] {
            build.word("--label", format!("com.docker.compose.{label}={value}"));
        }
        if let Some(platform) = service.get("platform").and_then(Value::as_str) {
            build.word("--platform", platform);
        }
        for (key, value) in definition {
            build.key(key, value, (definition, file))?;
        }
        Some(build)
    }

    fn key(
        &mut self,
        key: &str,
        value: &Value,
        (definition, file): (&Map<String, Value>, &Value),
    ) -> Option<()> {
        match key {
            "context" => self.context = value.as_str()?.to_owned(),
            "dockerfile" => {
                let context = definition.get("context").and_then(Value::as_str).unwrap_or(".");
                let path = Path::new(context).join(value.as_str()?);
                let is_local = context.starts_with('/');
                self.word(
                    "--file",
                    if is_local { path.display().to_string() } else { value.as_str()?.to_owned() },
                );
            }
            "dockerfile_inline" => {
                self.inline = Some(value.as_str()?.to_owned());
                self.word("--file", "-");
            }
            "args" => self.arguments(value)?,
            "target" | "network" => self.word(&format!("--{key}"), value.as_str()?),
            "shm_size" => self.word("--shm-size", scalar(value)?),
            "no_cache" | "pull" if value == true => self.words.push(format!("--{}", key.replace('_', "-"))),
            "no_cache" | "pull" => {}
            "labels" => self.pairs("--label", value)?,
            "extra_hosts" => value.as_array()?.iter().try_for_each(|one| {
                let (name, address) = one.as_str()?.split_once('=')?;
                self.word("--add-host", format!("{name}:{address}"));
                Some(())
            })?,
            "additional_contexts" => {
                let from_service =
                    |value: &Value| value.as_str().is_none_or(|text| text.starts_with("service:"));
                if value.as_object()?.values().any(from_service) {
                    return None;
                }
                self.pairs("--build-context", value)?;
            }
            "cache_from" | "cache_to" | "ssh" | "tags" | "platforms" => {
                let option = match key {
                    "tags" => "--tag".to_owned(),
                    "platforms" => "--platform".to_owned(),
                    other => format!("--{}", other.replace('_', "-")),
                };
                value
                    .as_array()?
                    .iter()
                    .try_for_each(|one| one.as_str().map(|one| self.word(&option, one)))?;
            }
            "secrets" => value.as_array()?.iter().try_for_each(|one| self.secret(one, file))?,
            _ => return None,
        }
        Some(())
    }

    fn word(&mut self, option: &str, value: impl Into<String>) {
        self.words.extend([option.to_owned(), value.into()]);
    }

    /// As `NAME=VALUE`, whichever of Compose's two ways they are written in.
    fn pairs(&mut self, option: &str, value: &Value) -> Option<()> {
        match value {
            Value::Array(all) => {
                all.iter().try_for_each(|one| one.as_str().map(|one| self.word(option, one)))
            }
            Value::Object(all) => all.iter().try_for_each(|(name, value)| {
                self.word(option, format!("{name}={}", scalar(value)?));
                Some(())
            }),
            _ => None,
        }
    }

    /// An argument without a value has the caller's, of which there is none here: then the Dockerfile's own holds.
    fn arguments(&mut self, value: &Value) -> Option<()> {
        for (name, value) in value.as_object()? {
            if value.is_null() {
                continue;
            }
            if is_needed(name) {
                self.word("--build-arg", format!("{name}={}", scalar(value)?));
            } else {
                self.word("--build-arg", name);
                self.variables.insert(name.clone(), scalar(value)?);
            }
        }
        Some(())
    }

    fn secret(&mut self, one: &Value, file: &Value) -> Option<()> {
        let source = one.as_str().or_else(|| one.get("source")?.as_str())?;
        let identity = one.get("target").and_then(Value::as_str).unwrap_or(source);
        let path = file.get("secrets")?.get(source)?.get("file")?.as_str()?;
        self.word("--secret", format!("id={identity},src={path}"));
        Some(())
    }

    async fn carry_out(&self, what: &str, on_line: OnLine<'_>) -> Result<(), Failure> {
        let mut command: Command = builder();
        command.args(["build", "--progress", "plain", "--load", "--provenance", "false"]).args(&self.words);
        command.arg(&self.context).envs(&self.variables);
        match stream(command, self.inline.as_deref(), on_line).await? {
            None => Ok(()),
            Some(said) => Err(process::failed(what.to_owned(), said).await),
        }
    }
}

/// The group as BuildKit takes it: a slice of systemd with the beginning of its scopes' names, as Docker's own default has it
/// (moby, `newCgroupParent`).
fn parent(group: &str) -> String {
    if group.ends_with(".slice") { format!("{group}:docker:") } else { group.to_owned() }
}

/// True for a variable with which Docker's command itself could not do.
fn is_needed(name: &str) -> bool {
    matches!(name, "PATH" | "HOME" | "TMPDIR" | "SSH_AUTH_SOCK")
        || ["DOCKER_", "BUILDX_", "BUILDKIT_"].iter().any(|start| name.starts_with(start))
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(definition: Value) -> Option<Build> {
        let file = json!({
            "services": {"web": {"image": "shop:1", "build": definition}},
            "secrets": {"token": {"file": "/run/token"}},
        });
        Build::of(&file, "shop-development", "web", "/partywall/shop/development")
    }

    #[test]
    fn a_definition_becomes_words_and_no_value_of_an_argument_is_one() {
        let built = of(json!({
            "context": "/code", "dockerfile": "docker/web", "target": "development", "args": {"KEY": "s3cret", "NONE": null},
            "secrets": [{"source": "token"}], "additional_contexts": {"shared": "/shared"}, "no_cache": false, "pull": true,
        }))
        .unwrap();
        let words = built.words.join(" ");
        for part in [
            "--tag shop:1",
            "--cgroup-parent /partywall/shop/development",
            "--file /code/docker/web",
            "--target development",
            "--build-arg KEY",
            "--secret id=token,src=/run/token",
            "--build-context shared=/shared",
            "--pull",
            "--label com.docker.compose.service=web",
        ] {
            assert!(words.contains(part), "{part}: {words}");
        }
        assert!(
            !words.contains("s3cret") && !words.contains("NONE") && !words.contains("--no-cache"),
            "{words}"
        );
        assert_eq!((built.context.as_str(), built.variables["KEY"].as_str()), ("/code", "s3cret"));
    }

    #[test]
    fn a_slice_is_told_as_systemd_and_buildkit_agree_on() {
        assert_eq!(parent("partywall-shop-development.slice"), "partywall-shop-development.slice:docker:");
        assert_eq!(parent("/partywall/shop/development"), "/partywall/shop/development");
    }

    #[test]
    fn what_only_compose_understands_is_left_to_it() {
        for more in [
            json!({"privileged": true}),
            json!({"additional_contexts": {"base": "service:base"}}),
            json!({"secrets": [{"source": "missing"}]}),
        ] {
            let mut definition = json!({"context": "/code"});
            definition.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert_eq!(of(definition), None, "{more}");
        }
    }
}
