//! A Compose project of its own for each test, removed also when the test fails.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use pw_host::Host;
use pw_model::ProjectName;
use pw_model::layout::Layout;
use pw_plan::Action;
use pw_plan::step::ComposeRun;
use pw_run::{Failure, Perform as _};

pub(crate) const HINT: &str = "this test needs Docker and the demo images: run ./x setup";

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A project with a folder; both are gone when it is dropped.
pub(crate) struct Project {
    pub(crate) name: String,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) host: Host,
}

impl Project {
    pub(crate) fn new() -> Self {
        docker(&["version"]);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pwhost-{}-{count}", std::process::id());
        let folder = tempfile::tempdir().expect("a temp dir");
        let host = Host::new(Layout::new(folder.path().join("state").to_string_lossy()), &shop());
        Self { name, folder, host }
    }

    /// Writes a Compose file of these services, with labels as the wall gives them.
    pub(crate) fn compose(&self, services: &str) -> ComposeRun {
        let text = self.yaml(services, "production");
        let file = self.path("compose.yaml");
        std::fs::write(&file, text).expect("a file");
        ComposeRun { project: self.name.clone(), file }
    }

    pub(crate) fn yaml(&self, services: &str, environment: &str) -> String {
        let labels = format!("labels: {{partywall.project: shop, partywall.environment: {environment}}}");
        let services = services.replace("IMAGE", &image()).replace("LABELS", &labels);
        format!(
            "name: {}\nservices:\n{services}networks:\n  default: {{{labels}}}\nvolumes:\n  data: {{{labels}}}\n",
            self.name
        )
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    pub(crate) async fn perform(&mut self, action: Action) -> Result<(), Failure> {
        self.host.perform(&action).await
    }

    pub(crate) async fn start(&mut self, run: &ComposeRun, services: &[&str]) {
        self.perform(Action::StartServices { compose: run.clone(), services: strings(services) })
            .await
            .unwrap_or_else(|failure| panic!("{}", chain(&failure)));
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        listed(&["ps", "-aq", "--no-trunc", "--filter", &self.label()])
    }

    fn label(&self) -> String {
        format!("label=com.docker.compose.project={}", self.name)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let label = self.label();
        let kinds: [(&[&str], &[&str]); 3] = [
            (&["ps", "-aq"], &["rm", "-f", "-v"]),
            (&["network", "ls", "-q"], &["network", "rm"]),
            (&["volume", "ls", "-q"], &["volume", "rm", "-f"]),
        ];
        for (list, remove) in kinds {
            let found = listed(&[list, &["--filter", label.as_str()]].concat());
            if !found.is_empty() {
                drop(Command::new("docker").args(remove).args(found).output());
            }
        }
    }
}

pub(crate) fn shop() -> ProjectName {
    ProjectName::parse("shop").expect("a name")
}

pub(crate) fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

pub(crate) fn listed(arguments: &[&str]) -> Vec<String> {
    docker(arguments).lines().map(str::to_owned).collect()
}

pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect(HINT);
    assert!(
        output.status.success(),
        "docker {arguments:?}: {}\n{HINT}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub(crate) fn image() -> String {
    image_of("DEBIAN_IMAGE", "partywall-demo/debian")
}

pub(crate) fn image_of(variable: &str, built: &str) -> String {
    let image = std::env::var(variable).unwrap_or_else(|_| built.to_owned());
    docker(&["image", "inspect", "-f", "{{.Id}}", &image]);
    image
}

/// A failure with its causes and hint, as the printer shows it.
pub(crate) fn chain(failure: &Failure) -> String {
    let mut text = failure.what.clone();
    let mut next = std::error::Error::source(failure);
    while let Some(source) = next {
        text += &format!("\nbecause: {source}");
        next = source.source();
    }
    failure.hint.iter().for_each(|hint| text += &format!("\nhint: {hint}"));
    text
}
