//! Compose against a real engine: what it is asked, what it runs, and that the user's own `up` agrees.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::{Project, chain, docker, image, strings};
use pw_host::{ComposeFailure, ComposeInputs, compose};
use pw_model::observed::{Health, State};
use pw_plan::Action;
use pw_run::Perform as _;

const TWO: &str = "  web:
    image: IMAGE
    init: true
    command: [sleep, 1d]
    LABELS
    depends_on: [db]
  db:
    image: IMAGE
    init: true
    command: [sleep, 1d]
    LABELS
    volumes: ['data:/data']
    healthcheck: {test: [CMD, 'true'], interval: 1s}
";

fn inputs(project: &Project, text: &str) -> ComposeInputs {
    std::fs::write(project.path("compose.yaml"), text).expect("a file");
    ComposeInputs {
        directory: project.folder.path().to_owned(),
        files: strings(&["compose.yaml"]),
        project_name: project.name.clone(),
        ..ComposeInputs::default()
    }
}

#[tokio::test]
async fn variables_come_from_the_env_file_alone_and_missing_ones_are_told() {
    let project = Project::new();
    let text =
        "services: {web: {image: x, environment: {A: '${USER_ID_OF_NOBODY}', B: '${CARGO_PKG_NAME}'}}}";
    let mut inputs = inputs(&project, text);
    let answer = compose::config(&inputs).await.expect("a model");
    // Cargo sets it in this process; Compose must not see it.
    assert_eq!(answer.warnings.len(), 2, "{:?}", answer.warnings);
    assert!(answer.warnings[0].contains("\"CARGO_PKG_NAME\" variable is not set"), "{:?}", answer.warnings);
    std::fs::write(project.path("my.env"), "CARGO_PKG_NAME=from-file\nUSER_ID_OF_NOBODY=1\n")
        .expect("a file");
    inputs.env_files = strings(&["my.env"]);
    let answer = compose::config(&inputs).await.expect("a model");
    let web = answer.model.service("web").expect("web");
    assert_eq!(web.environment().collect::<Vec<_>>(), [("A", "1"), ("B", "from-file")]);
    assert!(answer.warnings.is_empty());
}

#[tokio::test]
async fn paths_count_from_the_first_file_and_made_up_variables_win() {
    let project = Project::new();
    std::fs::create_dir(project.path("deploy")).expect("a folder");
    let text = "services: {web: {image: 'x:${TAG:?set it}', volumes: ['./data:/data', '${PWD}/logs:/logs']}}";
    std::fs::write(project.path("deploy/compose.yaml"), text).expect("a file");
    let mut inputs = inputs(&project, "services: {}");
    inputs.files = strings(&["deploy/compose.yaml"]);
    assert!(matches!(compose::config(&inputs).await, Err(ComposeFailure::Refused { .. })));
    inputs.made_up.insert("TAG".into(), "1".into());
    let answer = compose::config(&inputs).await.expect("a model");
    let web = answer.model.service("web").expect("web");
    let sources: Vec<String> = web.bind_mounts().into_iter().map(|mount| mount.source).collect();
    let folder = project.folder.path();
    let expected = ["deploy/data", "logs"].map(|path| folder.join(path).to_string_lossy().into_owned());
    assert_eq!((sources, web.image()), (expected.to_vec(), Some("x:1")));
}

#[tokio::test]
async fn a_wrong_file_is_refused_in_composes_own_words() {
    let project = Project::new();
    let refused = compose::config(&inputs(&project, "services: {web: {imagee: x}}")).await;
    let Err(ComposeFailure::Refused { lines, .. }) = refused else { panic!("{refused:?}") };
    assert!(lines.iter().any(|line| line.contains("services.web") && line.contains("imagee")), "{lines:?}");
}

#[tokio::test]
async fn what_we_start_is_what_the_users_own_up_finds_running() {
    let mut project = Project::new();
    let run = project.compose(TWO);
    let wanted = compose::hashes(&project.yaml(TWO, "production")).await.expect("hashes");
    project.start(&run, &["db", "web"]).await;
    let found = project.host.engine().containers(&project.name).await.expect("containers");
    assert_eq!(found.iter().map(|one| one.service.as_str()).collect::<Vec<_>>(), ["db", "web"]);
    for one in &found {
        assert_eq!(Some(&one.config_hash), wanted.get(&one.service));
        assert_eq!((one.state, one.number), (State::Running, 1));
        assert_eq!(one.owner, Some(("shop".into(), "production".into())));
    }
    let awaits = Action::AwaitServices {
        project: project.name.clone(),
        services: strings(&["db", "web"]),
        timeout_seconds: 20,
    };
    project.perform(awaits).await.unwrap_or_else(|failure| panic!("{}", chain(&failure)));
    let found = project.host.engine().containers(&project.name).await.expect("containers");
    assert_eq!(found[0].health, Health::Healthy);

    let before = project.ids();
    docker(&["compose", "-f", &run.file, "up", "-d"]);
    assert_eq!(project.ids(), before);
    project.start(&run, &["web"]).await;
    assert_eq!(project.ids(), before);
}

#[tokio::test]
async fn a_snapshot_takes_little_time() {
    let mut project = Project::new();
    let run = project.compose("  web: {image: IMAGE, init: true, command: [sleep, 1d], LABELS, scale: 6}\n");
    project.start(&run, &["web"]).await;
    let engine = project.host.engine();
    engine.docker().await.expect("a connection");
    let begun = Instant::now();
    let image = image();
    let (containers, networks, volumes, images) = tokio::join!(
        engine.containers(&project.name),
        engine.networks(&[], &project.name),
        engine.volumes(&[], &project.name),
        engine.images([image.as_str(), "nobody/has:this"]),
    );
    let took = begun.elapsed();
    assert_eq!(containers.expect("containers").len(), 6);
    assert_eq!(networks.expect("networks").len(), 1);
    assert_eq!(volumes.expect("volumes").len(), 0);
    assert_eq!(images.expect("images").into_iter().collect::<Vec<_>>(), [image]);
    assert!(took < Duration::from_secs(1), "{took:?}");
    eprintln_time(took);
}

#[expect(clippy::print_stderr, reason = "a figure for whoever runs the test with --nocapture")]
fn eprintln_time(took: Duration) {
    eprintln!("one snapshot: {took:?}");
}

#[tokio::test]
async fn a_build_that_fails_says_its_last_words_and_one_that_works_is_found() {
    let mut project = Project::new();
    let built = format!("{}-web", project.name);
    let service = format!(
        "  web: {{image: {built}, build: {{context: ., dockerfile: File}}, init: true, command: [sleep, 1d], LABELS}}\n"
    );
    let run = project.compose(&service);
    let file = project.path("File");
    let dockerfile = |line: &str| {
        std::fs::write(&file, format!("FROM {}\nRUN {line}\n", image())).expect("a file");
    };
    dockerfile("echo it goes wrong here && exit 3");
    let build = Action::BuildImages { compose: run.clone(), services: strings(&["web"]), group: None };
    let failure = project.host.perform(&build).await.expect_err("exit 3");
    assert!(chain(&failure).starts_with("could not build `web`\nbecause: "), "{}", chain(&failure));
    assert!(chain(&failure).contains("exit code: 3"), "{}", chain(&failure));
    dockerfile("true");
    project.perform(build).await.unwrap_or_else(|failure| panic!("{}", chain(&failure)));
    project.start(&run, &["web"]).await;
    project
        .perform(Action::RemoveServices { project: project.name.clone(), services: strings(&["web"]) })
        .await
        .expect("removed");
    drop(Command::new("docker").args(["image", "rm", &built]).output());
}

#[tokio::test]
async fn an_image_that_nobody_has_is_a_failure_with_the_engines_words() {
    let mut project = Project::new();
    let run = project.compose("  web: {image: 'localhost:1/nobody/has:this', LABELS}\n");
    let start = Action::StartServices { compose: run.clone(), services: strings(&["web"]) };
    let failure = project.perform(start).await.expect_err("no image");
    assert!(chain(&failure).starts_with("could not start `web`\nbecause: "), "{}", chain(&failure));
    let pull = Action::PullImages { compose: run, services: strings(&["web"]) };
    let failure = project.perform(pull).await.expect_err("no registry");
    assert!(
        chain(&failure).starts_with("could not pull the image of `web`\nbecause: "),
        "{}",
        chain(&failure)
    );
}
