//! Looking in: `shell`, `exec`, `logs`, `render`, `status`, and what goes to which stream.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{DEVELOPMENT, PRODUCTION, Story, finished};

/// Promise: every command looks at the environment that was named, and speaks like a good Unix program.
/// Given: both environments up.
/// Then: the shell says where it is and `docker compose` in it speaks to that environment; `exec` hands
/// on input and exit code; `logs` and `render` answer on stdout; every `--json` is JSON; a closed pipe is no crash.
#[test]
fn looking_in() {
    let story = Story::light();
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    exec_hands_on_input_and_exit_code(&story);
    logs_and_render_answer_on_stdout(&story);
    json_is_json(&story);
    closed_pipes_are_no_crash(&story);
    the_shell_speaks_to_one_environment(&story);
    the_prompt_says_where_you_are(&story);
}

fn exec_hands_on_input_and_exit_code(story: &Story) {
    let told = typed(
        story,
        &["exec", DEVELOPMENT, "web", "--", "sh", "-c", "cat; echo oops >&2; exit 7"],
        "hello\n",
    );
    assert_eq!((told.code, told.out.as_str(), told.err.as_str()), (Some(7), "hello\n", "oops\n"));
    let told = story.run(&["exec", PRODUCTION, "web", "--", "sh", "-c", "echo $APP_ENV"]).ended(0);
    assert_eq!(told.out, "production\n");
    let told =
        story.run(&["exec", PRODUCTION, "web", "sh", "-c", "echo $APP_ENV; exit 3", "--json"]).ended(3);
    assert_eq!(told.out, "production\n", "what follows the command is the command's");
    let told = story.run(&["exec", DEVELOPMENT, "wbe", "--", "true"]).ended(1);
    told.says(&["error: ", "has no service `wbe`", "hint: did you mean `web`?"]);
}

/// Runs with something on its standard input.
fn typed(story: &Story, words: &[&str], input: &str) -> crate::harness::Told {
    let mut command = story.command(words);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    finished(child)
}

fn logs_and_render_answer_on_stdout(story: &Story) {
    let told = story.run(&["logs", DEVELOPMENT, "migrate"]).ended(0);
    assert!(told.out.contains("migrated") && told.err.is_empty(), "{told:?}");
    let told = story.run(&["render", DEVELOPMENT]).ended(0);
    assert!(told.out.contains(&format!("name: {}", story.compose_project(DEVELOPMENT))), "{}", told.out);
    let port = story.run(&["render", DEVELOPMENT, "--explain", "services.db.ports"]).ended(0);
    assert!(port.out.contains("rule `own-ports`"), "{}", port.out);
    let image = story.run(&["render", DEVELOPMENT, "--explain", "services.web.image"]).ended(0);
    assert!(image.out.contains("docker-compose.yml:3:"), "{}", image.out);
    story
        .run(&["render", DEVELOPMENT, "--explain", "services.web.imag"])
        .ended(1)
        .says(&["error: ", "hint: "]);
    let whole = story.run(&["render", DEVELOPMENT, "--explain", "services.db"]).ended(0);
    assert!(whole.out.contains("in it `ports`: rule `own-ports`"), "{}", whole.out);
    let status = story.run(&["status"]).ended(0);
    assert!(status.out.contains("PRODUCTION") && status.out.contains("DEVELOPMENT"), "{}", status.out);
    let port = format!("\n  127.0.0.1:{} → db 6379\n", story.port + 1);
    assert!(status.out.contains(&port), "{port} is not in {}", status.out);
    assert!(status.out.contains(&format!("\n  http://{}:{}\n", story.host(DEVELOPMENT), story.http)));
    assert_eq!((status.err.as_str(), status.out.contains('\u{1b}')), ("", false), "no colours in a pipe");
    let quiet = story.run(&["up", DEVELOPMENT, "--quiet"]).ended(0);
    assert_eq!((quiet.out.as_str(), quiet.err.as_str()), ("", ""));
}

fn json_is_json(story: &Story) {
    for words in [
        &["check"][..],
        &["status"],
        &["status", DEVELOPMENT],
        &["top", "--once"],
        &["plan", DEVELOPMENT],
        &["plan", DEVELOPMENT, "--operation", "destroy"],
        &["up", DEVELOPMENT],
        &["render", PRODUCTION],
        &["render", PRODUCTION, "--explain", "services.web.image"],
        &["logs", DEVELOPMENT],
        &["resume"],
        &["init", "--print"],
        &["init", "--example"],
        &["man", "man"],
    ] {
        is_json(story, words, 0);
    }
    is_json(story, &["up", "developmnet"], 1);
    let slip = is_json(story, &["upp"], 1);
    assert_eq!(slip[0]["errors"][0]["message"], "unrecognized subcommand `upp`");
    is_json(story, &["exec"], 1);
    let status = is_json(story, &["status", DEVELOPMENT], 0);
    assert_eq!(status[0]["environments"][0]["published"][0]["port"], story.port + 1);
    is_json(story, &["destroy", PRODUCTION], 1);
    story.note(DEVELOPMENT, "as JSON");
    let events = is_json(story, &["up", DEVELOPMENT], 0);
    assert!(events.len() > 3 && events.iter().any(|event| event["event"] == "started"), "{events:?}");
    assert_eq!(events.last().map(|last| last["ok"].clone()), Some(Value::Bool(true)));
}

fn is_json(story: &Story, words: &[&str], code: i32) -> Vec<Value> {
    let told = story.run(&words.iter().copied().chain(["--json"]).collect::<Vec<_>>()).ended(code);
    assert_eq!(told.err, "", "{words:?} writes to stderr");
    let lines: Vec<Value> = told
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{words:?}: {error}\n{line}")))
        .collect();
    assert!(!lines.is_empty(), "{words:?} answers nothing");
    lines
}

/// What the shell is offered after these words.
fn offered(story: &Story, words: &[&str]) -> Vec<String> {
    let mut command = story.command(&["--", "partywall"]);
    command.args(words).env("PARTYWALL_COMPLETE", "bash").env("_CLAP_IFS", "\n");
    command.env("_CLAP_COMPLETE_INDEX", words.len().to_string());
    let output = command.output().expect("the program");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Promise: the tabulator key knows the project's own names.
/// Given: a project that never ran, and its `--project` from elsewhere.
/// Then: environments, production first, and services are offered; a folder without a project offers no name and no error.
#[test]
fn the_shell_offers_the_projects_names() {
    let story = Story::light();
    assert_eq!(offered(&story, &["up", ""])[..2], [PRODUCTION, DEVELOPMENT]);
    assert_eq!(offered(&story, &["down", "dev"]), [DEVELOPMENT]);
    assert_eq!(offered(&story, &["logs", DEVELOPMENT, ""])[..3], ["db", "migrate", "web"]);
    assert_eq!(offered(&story, &["--project", "/", "up", "dev"]), Vec::<String>::new());
    let script = story.run(&["completions", "bash"]).ended(0);
    assert!(script.out.contains("PARTYWALL_COMPLETE"), "{}", script.out);
}

fn closed_pipes_are_no_crash(story: &Story) {
    for words in ["status", "render production", "logs development", "plan production --json", "--help"] {
        let line = format!("set -o pipefail; '{}' {words} | head -1", env!("CARGO_BIN_EXE_partywall"));
        let mut command = Command::new("bash");
        command.args(["-c", &line]).current_dir(story.project()).env("PARTYWALL_STATE", story.state());
        let output = command.output().expect("bash");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(!err.contains("panicked") && output.status.code() != Some(101), "{words}: {err}");
    }
}

fn the_shell_speaks_to_one_environment(story: &Story) {
    for (environment, other) in [(PRODUCTION, DEVELOPMENT), (DEVELOPMENT, PRODUCTION)] {
        let told = typed(
            story,
            &["shell", environment],
            "docker compose ps -a --format '{{.Name}}'\necho in $PARTYWALL_ENVIRONMENT\nexit 3\n",
        );
        assert_eq!(told.code, Some(3), "{told:?}");
        assert!(told.out.contains(&format!("{}-web-1", story.compose_project(environment))), "{told:?}");
        assert!(!told.out.contains(&story.compose_project(other)), "{told:?}");
        assert!(told.out.contains(&format!("in {environment}")), "{told:?}");
    }
}

/// On a pseudo-terminal, as `script` makes one.
fn the_prompt_says_where_you_are(story: &Story) {
    for (environment, colour) in [(PRODUCTION, "\u{1b}[1;37;41m"), (DEVELOPMENT, "\u{1b}[30;42m")] {
        for shell in ["/bin/bash", "/bin/sh"] {
            let line = format!("'{}' shell {environment}", env!("CARGO_BIN_EXE_partywall"));
            let mut command = Command::new("script");
            command.args(["-qec", &line, "/dev/null"]).current_dir(story.project());
            command.env("PARTYWALL_STATE", story.state()).env("SHELL", shell).env("TERM", "xterm");
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().expect("script");
            child.stdin.take().expect("a pipe").write_all(b"exit\n").expect("it reads");
            let told = finished(child);
            let shown = format!("{colour} {} ", story.compose_project(environment));
            assert!(told.out.contains(&shown), "{shell}: {shown:?} is not in {:?}", told.out);
            assert!(
                told.out.contains("\u{1b}[22;0t") && told.out.trim_end().ends_with("\u{1b}[23;0t"),
                "{:?}",
                told.out
            );
        }
    }
}
