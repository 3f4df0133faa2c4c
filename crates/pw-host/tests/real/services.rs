//! Waiting for services and removing them, against a real engine.

use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::common::{Project, chain, docker, shop, strings};
use pw_host::Host;
use pw_model::layout::Layout;
use pw_plan::Action;

fn awaits(project: &Project, services: &[&str], seconds: u64) -> Action {
    Action::AwaitServices {
        project: project.name.clone(),
        services: strings(services),
        timeout_seconds: seconds,
    }
}

fn removes(project: &Project, services: &[&str]) -> Action {
    Action::RemoveServices { project: project.name.clone(), services: strings(services) }
}

#[tokio::test]
async fn one_that_ends_badly_is_told_at_once_with_its_last_lines() {
    let mut project = Project::new();
    let run = project.compose(
        "  web: {image: IMAGE, LABELS, command: [sh, -c, 'echo connecting; echo no route to the database; exit 3']}
  job: {image: IMAGE, LABELS, command: ['true']}\n",
    );
    project.start(&run, &["web", "job"]).await;
    project.perform(awaits(&project, &["job"], 20)).await.expect("a job that ends well is up");
    let failure = project.perform(awaits(&project, &["web"], 60)).await.expect_err("it ends");
    assert_eq!(
        chain(&failure),
        "service `web` ended with exit code 3\nbecause: its last lines were\n  connecting\n  no route to the database\n\
         hint: mend `web`, then run `partywall up production` again"
    );
}

#[tokio::test]
async fn one_that_was_told_to_stop_and_still_runs_is_started_again() {
    let mut project = Project::new();
    let run = project.compose(
        "  web: {image: IMAGE, LABELS, command: [sh, -c, 'trap \"touch /told; sleep 2; exit 0\" TERM; while :; do sleep 0.1; done']}\n",
    );
    project.start(&run, &["web"]).await;
    let id = project.ids().pop().expect("a container");
    let mut stop = Command::new("docker").args(["stop", &id]).spawn().expect("docker");
    let is_told = || Command::new("docker").args(["exec", &id, "ls", "/told"]).output().expect("docker");
    while !is_told().status.success() {}
    stop.kill().expect("cut off");
    stop.wait().expect("it is gone");
    let started = || docker(&["inspect", "-f", "{{.State.StartedAt}}", &id]);
    let before = started();
    project.start(&run, &["web"]).await;
    assert_ne!(started(), before, "left to end by itself");
    assert_eq!(docker(&["inspect", "-f", "{{.State.Running}}", &id]).trim(), "true");
}

#[tokio::test]
async fn one_that_restarts_over_and_over_is_told_before_the_time_is_up() {
    let mut project = Project::new();
    let run = project
        .compose("  web: {image: IMAGE, LABELS, restart: always, command: [sh, -c, 'echo no; exit 1']}\n");
    project.start(&run, &["web"]).await;
    let failure = project.perform(awaits(&project, &["web"], 120)).await.expect_err("it crashes");
    assert!(failure.what.starts_with("service `web` restarts over and over"), "{}", chain(&failure));
}

#[tokio::test]
async fn one_that_is_unhealthy_is_told_at_once_with_its_probes_words() {
    let mut project = Project::new();
    let run = project.compose(
        "  web: {image: IMAGE, init: true, LABELS, command: [sh, -c, 'echo listening; sleep 1d'], healthcheck: {test: [CMD-SHELL, 'echo 500 on /health; exit 1'], interval: 200ms, retries: 2}}\n",
    );
    project.start(&run, &["web"]).await;
    // Longer than any test may take: what is unhealthy is not waited for.
    let failure = project.perform(awaits(&project, &["web"], 86_400)).await.expect_err("unhealthy");
    assert_eq!(
        chain(&failure),
        "service `web` is unhealthy\nbecause: its healthcheck ended with exit code 1 and said\n  500 on /health\n\
         because: its last lines were\n  listening\n\
         hint: mend `web` or its `healthcheck`, whose `start_period` gives it more time, then run `partywall up production` again"
    );
}

#[tokio::test]
async fn one_that_is_waited_for_is_named_and_told_when_the_time_is_up() {
    let mut project = Project::new();
    let run = project.compose(
        "  web: {image: IMAGE, init: true, LABELS, command: [sleep, 1d], healthcheck: {test: [CMD, 'false'], interval: 200ms, retries: 1, start_period: 1h}}\n",
    );
    project.start(&run, &["web"]).await;
    let lines = Arc::new(Mutex::new(Vec::new()));
    let told = lines.clone();
    let host = Host::new(Layout::new(project.path("state")), &shop());
    project.host =
        host.on_line(Arc::new(move |line: &str| told.lock().expect("a lock").push(line.to_owned())));
    let failure = project.perform(awaits(&project, &["web"], 4)).await.expect_err("never healthy");
    assert_eq!(failure.what, "service `web` is still not healthy after 4 s");
    assert_eq!(*lines.lock().expect("a lock"), ["waiting for web (is still not healthy)"]);
}

#[tokio::test]
async fn a_dependency_that_fails_is_named_with_its_last_lines() {
    let mut project = Project::new();
    let run = project.compose(
        "  web: {image: IMAGE, LABELS, command: [sleep, 1d], depends_on: {db: {condition: service_healthy}}}
  db: {image: IMAGE, init: true, LABELS, command: [sh, -c, 'echo disk is full; sleep 1d'], healthcheck: {test: [CMD, 'false'], interval: 200ms, retries: 1}}\n",
    );
    let start = Action::StartServices { compose: run, services: strings(&["web"]) };
    let failure = project.perform(start).await.expect_err("db is unhealthy");
    assert_eq!(
        chain(&failure),
        "service `db` is unhealthy\nbecause: its healthcheck ended with exit code 1 and said nothing\n\
         because: its last lines were\n  disk is full\n\
         hint: mend `db` or its `healthcheck`, whose `start_period` gives it more time, then run `partywall up production` again"
    );
}

#[tokio::test]
async fn ours_are_removed_and_removing_again_is_success() {
    let mut project = Project::new();
    let run = project.compose(
        "  web: {image: IMAGE, init: true, LABELS, command: [sleep, 1d], volumes: ['data:/data']}
  db: {image: IMAGE, init: true, LABELS, command: [sleep, 1d]}\n",
    );
    project.start(&run, &["web", "db"]).await;
    let network = format!("{}_default", project.name);
    let networks = Action::RemoveNetworks { project: project.name.clone(), names: vec![network.clone()] };
    let failure = project.perform(networks.clone()).await.expect_err("two containers are attached");
    assert!(
        chain(&failure).contains(&format!("network `{network}` is still used by `{}-", project.name)),
        "{}",
        chain(&failure)
    );
    for _ in 0..2 {
        project.perform(removes(&project, &["web"])).await.expect("removed");
        assert_eq!(project.ids().len(), 1);
    }
    project.perform(removes(&project, &["db"])).await.expect("removed");
    let volumes = Action::RemoveVolumes {
        project: project.name.clone(),
        names: vec![format!("{}_data", project.name)],
    };
    for _ in 0..2 {
        project.perform(networks.clone()).await.unwrap_or_else(|failure| panic!("{}", chain(&failure)));
        project.perform(volumes.clone()).await.unwrap_or_else(|failure| panic!("{}", chain(&failure)));
    }
}

#[tokio::test]
async fn what_is_not_ours_is_never_touched() {
    let mut project = Project::new();
    // A user's own project of that name, without our labels.
    let run = project.compose("  web: {image: IMAGE, init: true, command: [sleep, 1d]}\n");
    project.start(&run, &["web"]).await;
    let before = project.ids();
    let failure = project.perform(removes(&project, &["web"])).await.expect_err("not ours");
    assert_eq!(
        chain(&failure),
        format!(
            "container `{0}-web-1` is not shop's to remove\n\
             because: Partywall did not make it: it has no label `partywall.environment`\n\
             hint: look at `docker container inspect {0}-web-1`; if nobody needs it, remove it by hand",
            project.name
        )
    );
    let foreign = ["--label", "partywall.project=other", "--label", "partywall.environment=production"];
    let label = format!("com.docker.compose.project={}", project.name);
    let volume = format!("{}_foreign", project.name);
    docker(&[&["volume", "create", "--label", &label][..], &foreign, &[&volume]].concat());
    let volumes = Action::RemoveVolumes { project: project.name.clone(), names: vec![volume.clone()] };
    let failure = project.perform(volumes).await.expect_err("another project's");
    assert!(
        chain(&failure).contains("belongs to environment `production` of project `other`"),
        "{}",
        chain(&failure)
    );
    // Ours by label, under the name of another Compose project.
    let other = Action::RemoveVolumes { project: "pwhost-else".into(), names: vec![volume.clone()] };
    let failure = project.perform(other).await.expect_err("another Compose project's");
    assert!(chain(&failure).contains("not `pwhost-else`"), "{}", chain(&failure));
    assert_eq!(project.ids(), before);
    docker(&["volume", "inspect", &volume]);
}

#[tokio::test]
async fn two_environments_in_one_compose_project_are_refused() {
    let mut project = Project::new();
    let services = "  web: {image: IMAGE, init: true, LABELS, command: [sleep, 1d]}\n";
    let run = project.compose(services);
    project.start(&run, &["web"]).await;
    let second = project.yaml(&services.replace("web", "db"), "development");
    std::fs::write(&run.file, second).expect("a file");
    project.start(&run, &["db"]).await;
    let failure = project.perform(removes(&project, &["web", "db"])).await.expect_err("two");
    assert!(failure.what.ends_with("is labelled as `development` and `production`"), "{}", chain(&failure));
    assert_eq!(project.ids().len(), 2);
}

#[tokio::test]
async fn joining_and_leaving_twice_is_doing_it_once() {
    let mut project = Project::new();
    let run = project.compose("  web: {image: IMAGE, init: true, LABELS, command: [sleep, 1d]}\n");
    project.start(&run, &["web"]).await;
    let (container, network) = (format!("{}-web-1", project.name), format!("{}_edge", project.name));
    let label = format!("com.docker.compose.project={}", project.name);
    docker(&["network", "create", "--label", &label, &network]);
    let join = Action::JoinNetwork { container: container.clone(), network: network.clone() };
    let leave = Action::LeaveNetwork { container: container.clone(), network: network.clone() };
    for _ in 0..2 {
        project.perform(join.clone()).await.unwrap_or_else(|failure| panic!("{}", chain(&failure)));
    }
    let networks = project.host.engine().networks_of(&container).await.expect("networks").expect("it runs");
    assert!(networks.contains(&network));
    for _ in 0..2 {
        project.perform(leave.clone()).await.unwrap_or_else(|failure| panic!("{}", chain(&failure)));
    }
    drop(Command::new("docker").args(["rm", "-f", &container]).output());
    project.perform(leave).await.expect("a container that is gone is apart");
    project.perform(join).await.expect_err("a container that is gone cannot join");
    assert!(!project.host.engine().is_running(&container).await.expect("an answer"));
}
