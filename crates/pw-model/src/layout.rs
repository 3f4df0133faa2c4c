//! Where Partywall keeps its files. One place, so that no path is put together twice.

use crate::name::{EnvironmentName, ProjectName};

/// The state folder of a host and the paths below it.
///
/// ```text
/// ROOT/projects/PROJECT/{journal.db, lock, agent.db, metrics.db, agent.lock, agent.sock, masks.key, certificates/, .store/ENVIRONMENT/HASH, .trees/COMMIT}
/// ROOT/identity
/// ROOT/projects/PROJECT/ENVIRONMENT/{compose.yaml, folder, release.json, releases/NUMBER.json, secrets/, binds/, seeds/NUMBER, rehearsal/}
/// ROOT/proxy/NAME/{compose.yaml, lock, sites/PROJECT.json, switch/COMPOSE_PROJECT/SERVICE, config/caddy.json, run/{admin,candidate}.sock, log/traffic.log}
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: String,
    identity: String,
}

impl Layout {
    /// `root` is absolute, such as `/var/lib/partywall`.
    pub fn new(root: impl Into<String>) -> Self {
        Self { root: root.into().trim_end_matches('/').to_owned(), identity: String::new() }
    }

    /// The same, under the identity by which its containers are known.
    #[must_use]
    pub fn identified(self, identity: impl Into<String>) -> Self {
        Self { identity: identity.into(), ..self }
    }

    /// Tells two state folders on one engine apart, and stays with a folder that is moved.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    pub fn root(&self) -> &str {
        &self.root
    }

    pub fn project(&self, project: &ProjectName) -> String {
        format!("{}/projects/{project}", self.root)
    }

    pub fn journal(&self, project: &ProjectName) -> String {
        format!("{}/journal.db", self.project(project))
    }

    pub fn lock(&self, project: &ProjectName) -> String {
        format!("{}/lock", self.project(project))
    }

    /// Texts by hash, in a folder for each environment. No environment's name begins with a dot.
    pub fn store(&self, project: &ProjectName) -> String {
        format!("{}/.store", self.project(project))
    }

    /// Every file that a plan for the environment ever installed, so that it can be installed again.
    pub fn store_of(&self, project: &ProjectName, environment: &EnvironmentName) -> String {
        format!("{}/{environment}", self.store(project))
    }

    /// What makes the masks of this project's samples unlike those of others.
    pub fn masks_key(&self, project: &ProjectName) -> String {
        format!("{}/masks.key", self.project(project))
    }

    /// One agent at a time.
    pub fn agent_lock(&self, project: &ProjectName) -> String {
        format!("{}/agent.lock", self.project(project))
    }

    /// Where the agent tells how it fares.
    pub fn agent_socket(&self, project: &ProjectName) -> String {
        format!("{}/agent.sock", self.project(project))
    }

    /// What the governor decided.
    pub fn agent_history(&self, project: &ProjectName) -> String {
        format!("{}/agent.db", self.project(project))
    }

    /// What everything used.
    pub fn agent_metrics(&self, project: &ProjectName) -> String {
        format!("{}/metrics.db", self.project(project))
    }

    /// The key of the project's backups. Without it nobody reads them.
    pub fn backup_key(&self, project: &ProjectName) -> String {
        format!("{}/backup.key", self.project(project))
    }

    /// What `prove` found, a page and its figures for each time.
    pub fn certificates(&self, project: &ProjectName) -> String {
        format!("{}/certificates", self.project(project))
    }

    /// One writer of backups at a time.
    pub fn backup_lock(&self, project: &ProjectName) -> String {
        format!("{}/backup.lock", self.project(project))
    }

    /// Figures, proof and file lists of the environment's seeds.
    pub fn seeds(&self, project: &ProjectName, environment: &EnvironmentName) -> String {
        format!("{}/seeds", self.environment(project, environment))
    }

    pub fn environment(&self, project: &ProjectName, environment: &EnvironmentName) -> String {
        format!("{}/{environment}", self.project(project))
    }

    pub fn compose_file(&self, project: &ProjectName, environment: &EnvironmentName) -> String {
        format!("{}/compose.yaml", self.environment(project, environment))
    }

    /// Remembers the project's folder that an environment was brought up from.
    pub fn folder_file(&self, project: &ProjectName, environment: &EnvironmentName) -> String {
        format!("{}/folder", self.environment(project, environment))
    }

    /// The release that an environment runs; absent where the project's folder itself is what runs.
    pub fn release_file(&self, project: &ProjectName, environment: &EnvironmentName) -> String {
        format!("{}/release.json", self.environment(project, environment))
    }

    /// Every release that ran, `NUMBER.json`.
    pub fn releases(&self, project: &ProjectName, environment: &EnvironmentName) -> String {
        format!("{}/releases", self.environment(project, environment))
    }

    /// Files of commits, for all environments of the project.
    pub fn trees(&self, project: &ProjectName) -> String {
        format!("{}/.trees", self.project(project))
    }

    /// Variables that the rendered file leaves to Compose.
    pub fn variable_file(&self, project: &ProjectName, environment: &EnvironmentName) -> String {
        format!("{}/.env", self.environment(project, environment))
    }

    pub fn secrets(&self, project: &ProjectName, environment: &EnvironmentName) -> String {
        format!("{}/secrets", self.environment(project, environment))
    }

    /// What a scratch copy of the environment's database runs from; `purpose` says what for.
    pub fn scratch(&self, project: &ProjectName, environment: &EnvironmentName, purpose: &str) -> String {
        format!("{}/{purpose}", self.environment(project, environment))
    }

    /// Folders that stand in for production's bind mounts in another environment.
    pub fn binds(&self, project: &ProjectName, environment: &EnvironmentName) -> String {
        format!("{}/binds", self.environment(project, environment))
    }

    pub fn proxy(&self, name: &str) -> String {
        format!("{}/proxy/{name}", self.root)
    }

    /// Folders that the proxy mounts, and that of the site files.
    pub fn proxy_folders(&self, name: &str) -> Vec<String> {
        ["config", "switch", "run", "sites", "log"]
            .iter()
            .map(|part| format!("{}/{part}", self.proxy(name)))
            .collect()
    }

    pub fn proxy_compose_file(&self, name: &str) -> String {
        format!("{}/compose.yaml", self.proxy(name))
    }

    pub fn sites(&self, name: &str) -> String {
        format!("{}/sites", self.proxy(name))
    }

    pub fn site_file(&self, name: &str, project: &ProjectName) -> String {
        format!("{}/{project}.json", self.sites(name))
    }

    pub fn switches(&self, name: &str) -> String {
        format!("{}/switch", self.proxy(name))
    }

    pub fn switch(&self, name: &str, compose_project: &str, service: &str) -> String {
        format!("{}/{compose_project}/{service}", self.switches(name))
    }

    /// Read by requests on the candidates' socket alone; no Compose project's name begins with a dot.
    pub fn candidate(&self, name: &str, compose_project: &str, service: &str) -> String {
        format!("{}/.candidate/{compose_project}/{service}", self.switches(name))
    }

    /// Read by requests that know the word in it, while it is there.
    pub fn warming(&self, name: &str, compose_project: &str, service: &str) -> String {
        format!("{}/.warming/{compose_project}/{service}", self.switches(name))
    }

    /// Where the front of a project answers for environments that sleep; the proxy reaches it by its own folder.
    pub fn front(&self, name: &str, project: &ProjectName) -> String {
        format!("{}/run/front-{project}.sock", self.proxy(name))
    }

    /// Read for a part of the requests, while it is there.
    pub fn canary(&self, name: &str, compose_project: &str, service: &str) -> String {
        format!("{}/.canary/{compose_project}/{service}", self.switches(name))
    }

    /// Read for assets that the generation that serves does not have.
    pub fn before(&self, name: &str, compose_project: &str, service: &str) -> String {
        format!("{}/.before/{compose_project}/{service}", self.switches(name))
    }

    /// What the proxy answered, one JSON object a line, without addresses and paths of visitors.
    pub fn traffic_log(&self, name: &str) -> String {
        format!("{}/log/traffic.log", self.proxy(name))
    }

    pub fn caddy_config(&self, name: &str) -> String {
        format!("{}/config/caddy.json", self.proxy(name))
    }

    pub fn caddy_socket(&self, name: &str) -> String {
        format!("{}/run/admin.sock", self.proxy(name))
    }
}
