//! Why a service is not up: its healthcheck's words and its last lines, read before anything is taken back.

use bollard::container::LogOutput;
use bollard::models::{ContainerInspectResponse, HealthcheckResult};
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt as _;
use pw_run::Failure;

use super::connect::Engine;
use super::label;
use super::verdict::{label_in, last_probe};

const LOG_LINES: usize = 10;
const PROBE_LINES: usize = 5;

/// What a container said, as a chain of causes.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Words {
    text: String,
    #[source]
    source: Option<Box<Self>>,
}

impl Engine {
    /// A failure that holds what will be gone when the container is.
    pub(super) async fn not_up(&self, project: &str, service: &str, why: &str) -> Failure {
        let failure = Failure::new(format!("service `{service}` {why}"));
        let found = self.inspect_services(project).await.unwrap_or_default();
        match found.iter().find(|one| label_in(one, label::SERVICE) == Some(service)) {
            Some(one) => self.with_evidence(failure, one, service).await,
            None => failure,
        }
    }

    /// The same of one container by its name.
    pub(super) async fn not_up_container(&self, name: &str, service: &str, why: &str) -> Failure {
        let failure = Failure::new(format!("service `{service}` {why}"));
        match self.inspect_named(name).await {
            Ok(Some(one)) => self.with_evidence(failure, &one, service).await,
            _ => failure,
        }
    }

    async fn with_evidence(
        &self,
        failure: Failure,
        one: &ContainerInspectResponse,
        service: &str,
    ) -> Failure {
        let probe = last_probe(one);
        let lines = self.last_lines(one.id.as_deref().unwrap_or_default()).await;
        let lines = (!lines.is_empty()).then(|| format!("its last lines were\n{lines}"));
        let causes = [probe.map(told), lines].into_iter().flatten().rev();
        let words = causes.fold(None, |source, text| Some(Box::new(Words { text, source })));
        let failure = failure.hint(hint(one, service, probe.is_some()));
        match words {
            Some(words) => failure.because(*words),
            None => failure,
        }
    }

    /// The last lines that a container wrote, indented; empty when there are none or they cannot be read.
    pub(super) async fn last_lines(&self, container: &str) -> String {
        let Ok(docker) = self.docker().await else { return String::new() };
        let options =
            LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&LOG_LINES.to_string()).build();
        let chunks: Vec<LogOutput> =
            docker.logs(container, Some(options)).filter_map(async |line| line.ok()).collect().await;
        let text: String = chunks
            .into_iter()
            .map(|chunk| String::from_utf8_lossy(&chunk.into_bytes()).into_owned())
            .collect();
        indented(&text, usize::MAX)
    }
}

fn told(probe: &HealthcheckResult) -> String {
    let code = probe.exit_code.map_or_else(String::new, |code| format!(" with exit code {code}"));
    match indented(probe.output.as_deref().unwrap_or_default(), PROBE_LINES) {
        text if text.is_empty() => format!("its healthcheck ended{code} and said nothing"),
        text => format!("its healthcheck ended{code} and said\n{text}"),
    }
}

/// The last `count` lines that are not empty.
fn indented(text: &str, count: usize) -> String {
    let lines: Vec<String> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| format!("  {}", line.trim_end()))
        .collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// The log is gone when the container is taken back, so no command that reads it is named.
fn hint(one: &ContainerInspectResponse, service: &str, probed: bool) -> String {
    let again = match label_in(one, label::OUR_ENVIRONMENT) {
        Some(environment) => format!("`partywall up {environment}`"),
        None => "the command".to_owned(),
    };
    let place = if probed {
        format!("`{service}` or its `healthcheck`, whose `start_period` gives it more time")
    } else {
        format!("`{service}`")
    };
    format!("mend {place}, then run {again} again")
}
