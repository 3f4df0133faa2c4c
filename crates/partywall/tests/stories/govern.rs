//! The agent: development is squeezed while production waits, and gets everything back.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::harness::{Agent, DEVELOPMENT, PRODUCTION, Story, docker, image, until};
use crate::steps::killed_when;

/// Both have the kernel work without end, for who only computes in the idle class is not squeezed. Production may use half a
/// processor only, so that it waits whatever else the machine does, and development has something to use.
fn copying() -> Story {
    let story = Story::light();
    let copy = "for i in 1 2 3 4; do cat /dev/zero >/dev/null & done; wait";
    let service = format!(
        "services:\n  web:\n    image: {}\n    init: true\n    command: [sh, -c, {copy:?}]\n    stop_grace_period: 0s\n",
        image("debian")
    );
    story.write("docker-compose.yml", &service);
    story.write("production.yml", "services:\n  web:\n    cpus: 0.5\n");
    story.write("development.yml", "services:\n  web:\n    cpus: 1.5\n");
    story.write(
        "partywall.yaml",
        &format!(
            "project: {}\ncompose: [docker-compose.yml]\nenvironments:\n  production: {{ overlays: [production.yml] }}\n  \
             development: {{ overlays: [development.yml] }}\ngovernor: {{ mode: guarantee }}\n",
            story.name
        ),
    );
    story
}

/// What the kernel holds an environment's processors to: `quota period` of its group and of all below.
fn quotas(story: &Story, environment: &str) -> Vec<String> {
    let mut found: Vec<String> = story.groups(environment).iter().flat_map(files).collect();
    found.sort();
    found
}

fn files(folder: &PathBuf) -> Vec<String> {
    let read = |file: &str| fs::read_to_string(folder.join(file)).ok().map(|text| text.trim().to_owned());
    let v1 = read("cpu.cfs_quota_us")
        .zip(read("cpu.cfs_period_us"))
        .map(|(quota, period)| format!("{quota} {period}"));
    let below = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let below = below.filter(|path| path.is_dir()).flat_map(|path| files(&path));
    read("cpu.max").or(v1).into_iter().chain(below).collect()
}

/// The governor counts in periods of 20 ms.
fn is_squeezed(story: &Story) -> bool {
    quotas(story, DEVELOPMENT).iter().any(|quota| quota.ends_with(" 20000"))
}

fn status(story: &Story) -> Value {
    story.run(&["agent", "status", "-n", "100", "--json"]).ended(0).json()
}

/// Promise: while production waits, development is squeezed, and only development; an agent that is killed leaves it
/// squeezed, the next one goes on from there, and gives everything back when production is calm.
/// Given: both environments copy without end, on all processors.
/// Then: each of these in turn, a second agent is told who runs, and no squeeze is a difference for `plan`.
#[test]
fn development_is_squeezed_while_production_waits() {
    let story = copying();
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    let (production, development) = (quotas(&story, PRODUCTION), quotas(&story, DEVELOPMENT));
    let agent = Agent::start(&story);
    until("development is squeezed", || is_squeezed(&story));
    let second = story.run(&["agent", "run"]).ended(2);
    let who = format!("(process {})", agent.pid());
    second.says(&["`partywall agent run` is at work", &who, "partywall agent status"]);
    assert_eq!(story.plan(DEVELOPMENT), Vec::<Value>::new(), "a squeeze is taken for a difference");
    let told = story.run(&["status"]).ended(0).out;
    assert!(told.contains("governor  development: at most"), "{told}");
    assert!(told.contains("because production waited"), "{told}");

    agent.kill();
    assert!(is_squeezed(&story), "what protects production is gone with the agent");
    let told = story.run(&["agent", "status"]).ended(0).out;
    assert!(told.contains("no agent runs") && told.contains("still squeezed"), "{told}");

    let agent = Agent::start(&story);
    until("the next agent answers", || status(&story)["running"] == true);
    assert!(is_squeezed(&story), "the next agent gave back what it found");
    assert_eq!(quotas(&story, PRODUCTION), production, "production was touched");
    // Who does nothing waits for nothing, whatever else the machine does.
    docker(&["kill", &story.container(PRODUCTION, "web").id()]);
    until("development has everything back", || !is_squeezed(&story));
    assert_eq!(quotas(&story, DEVELOPMENT), development, "it is not as it was");
    let decisions = status(&story)["decisions"].to_string();
    for because in ["production waited", "a former agent left it so", "production is calm"] {
        assert!(decisions.contains(because), "`{because}` is not among {decisions}");
    }
    agent.end().ended(0);
}

/// Promise: an agent that is told to end gives everything back; a dry run says what it would do and touches nothing.
/// Given: both environments copy without end, on all processors.
#[test]
fn who_ends_the_agent_has_development_back_and_a_dry_run_touches_nothing() {
    let story = copying();
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    let before = quotas(&story, DEVELOPMENT);
    let log = fs::File::create(story.folder().join("dry")).expect("a file");
    let dry = Agent::of(story.command(&["agent", "run", "--dry-run"]).stdout(log).spawn().expect("started"));
    until("it says what it would do", || {
        let said = fs::read_to_string(story.folder().join("dry")).unwrap_or_default();
        said.contains("would hold development: at most")
    });
    assert_eq!(quotas(&story, DEVELOPMENT), before, "a dry run squeezes");
    dry.kill();

    let agent = Agent::start(&story);
    until("development is squeezed", || is_squeezed(&story));
    let told = agent.end().ended(0);
    assert!(told.out.contains("CPUs as budgeted, because the agent ends"), "{}", told.out);
    assert_eq!(quotas(&story, DEVELOPMENT), before);
    assert_eq!(status(&story)["running"], false);
}

/// Promise: a changed `partywall.yaml` counts without anybody starting the agent again, and nobody is let go for that.
/// Given: development that is squeezed; then a file that cannot be used, then one with another mode.
/// Then: the first is told, and what was read before counts; with the second the same process has the new mode, took over what was
/// squeezed, and gives it back when it ends.
#[test]
fn a_changed_configuration_counts() {
    let story = copying();
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    let before = quotas(&story, DEVELOPMENT);
    let log = story.folder().join("said");
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let to = fs::File::create(&log).expect("a file");
    let agent = Agent::of(story.command(&["agent", "run"]).stdout(to).spawn().expect("started"));
    until("development is squeezed", || is_squeezed(&story));
    let mode = || {
        let status = status(&story);
        (status["status"]["pid"].as_u64(), status["status"]["mode"].as_str().map(str::to_owned))
    };
    let pid = Some(u64::from(agent.pid()));
    story.edit("partywall.yaml", "mode: guarantee", "mode: guaranty");
    until("it is told", || said().contains("`partywall.yaml` has changed and cannot be used: "));
    story.edit("partywall.yaml", "mode: guaranty", "mode: balanced");
    until("the new mode counts", || mode() == (pid, Some("balanced".to_owned())));
    agent.end().ended(0);
    let told = said();
    let (first, second) = told.split_once("begins anew").expect("it begins anew once");
    assert!(!first.contains("because the agent ends") && second.contains("because the agent ends"), "{told}");
    assert_eq!(quotas(&story, DEVELOPMENT), before);
}

/// Promise: the unit for systemd can be read before it is installed, and names this program, project and state.
#[test]
fn the_unit_names_program_project_and_state() {
    let story = Story::light();
    let unit = story.run(&["agent", "install", "--print"]).ended(0).out;
    let project =
        format!("agent run --project \"{}\"", story.project().canonicalize().expect("a folder").display());
    let state = format!("Environment=\"PARTYWALL_STATE={}\"", story.state().display());
    for text in [&project, &state, "Restart=always", "ProtectSystem=strict"] {
        assert!(unit.contains(text), "`{text}` is not in\n{unit}");
    }
}

/// Promise: what is due is done, once, by whoever asks every minute.
/// Given: production with `every`, `drill` and no backup yet.
/// Then: the plan names a backup; the first run makes it, the second drills it, the third does nothing; when the
/// newest is older than `every`, another is due. One that was killed is ended, and keeps nothing from being done.
#[test]
fn backups_and_drills_are_made_when_they_are_due() {
    let story = Story::stocked_shop();
    story.edit("partywall.yaml", "backup: {", "backup: { every: 1h, drill: weekly,");
    // The disk of whoever runs this may be full.
    story.write("partywall.yaml", &format!("{}governor: {{ room: 0% }}\n", story.read("partywall.yaml")));
    let due = || story.run(&["agent", "chores", "--plan"]).ended(0).out;
    assert_eq!(due(), "partywall backup production | the newest is none\n");
    story.run(&["agent", "chores"]).ended(0);
    assert!(due().starts_with("partywall drill 2"), "{}", due());
    story.run(&["agent", "chores"]).ended(0);
    assert_eq!(due(), "");
    let before = story.plans();
    story.run(&["agent", "chores"]).ended(0);
    assert_eq!(story.plans(), before);
    story.edit("partywall.yaml", "every: 1h", "every: 1s");
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(due().contains("partywall backup production | the newest is 2"), "{}", due());

    let killed = killed_when(&story, &["backup", PRODUCTION], |_, _| true);
    assert!(killed.is_some(), "it was over before it could be killed");
    assert!(due().starts_with("partywall resume | `backup production` was cut off"), "{}", due());
    story.run(&["agent", "chores"]).ended(0);
    assert!(!due().contains("resume"), "{}", due());
}
