//! Setting the content of a Redis aside, through the client that its own container has.
//!
//! A numbered database changes places with a free one, in one instant, and leaves a mark beside what was set
//! aside: by the mark a second time is known from the first.

use std::collections::{BTreeMap, BTreeSet};

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecResults};
use futures_util::TryStreamExt as _;
use pw_plan::seed::Keyspace;
use pw_plan::step::CachePlace;
use pw_run::Failure;

use super::connect::{Engine, said};
use super::inside::Inside;

/// Clients by name; the images of Redis and of those that speak like it have one of them.
const CLIENTS: [&str; 3] = ["redis-cli", "valkey-cli", "keydb-cli"];
const PASSWORDS: [&str; 4] = ["REDISCLI_AUTH", "REDIS_PASSWORD", "VALKEY_PASSWORD", "VALKEYCLI_AUTH"];
const MARK: &str = "partywall:set-aside";

const ASIDE: &str = "redis.call('SELECT', ARGV[2])
if redis.call('EXISTS', ARGV[3]) == 1 then return 'done' end
if redis.call('DBSIZE') ~= 0 then return redis.error_reply('the free number is in use') end
redis.call('SELECT', ARGV[1])
redis.call('SET', ARGV[3], '1')
redis.call('SWAPDB', ARGV[1], ARGV[2])
return 'done'";
const BACK: &str = "redis.call('SELECT', ARGV[2])
if redis.call('EXISTS', ARGV[3]) == 0 then return 'done' end
redis.call('SWAPDB', ARGV[1], ARGV[2])
redis.call('SELECT', ARGV[1])
redis.call('DEL', ARGV[3])
redis.call('SELECT', ARGV[2])
redis.call('FLUSHDB')
return 'done'";
const FORGET: &str = "redis.call('SELECT', ARGV[2])
if redis.call('EXISTS', ARGV[3]) == 1 then redis.call('FLUSHDB') end
return 'done'";

impl Engine {
    /// Which numbered databases hold something, and how many there can be.
    ///
    /// # Errors
    /// The service does not run, or is no Redis that can be asked.
    pub async fn keyspace(&self, cache: &CachePlace) -> Result<Keyspace, Failure> {
        let inside = self.look_inside(&cache.project, &cache.service).await?;
        let told = self.ask_redis(cache, &inside, &["INFO", "keyspace"]).await?;
        let used: BTreeSet<u32> = told
            .lines()
            .filter_map(|line| line.trim().strip_prefix("db")?.split_once(":keys=")?.0.parse().ok())
            .collect();
        if !told.contains("# Keyspace") {
            return Err(refused(cache, &told));
        }
        let limit = self.ask_redis(cache, &inside, &["CONFIG", "GET", "databases"]).await?;
        let limit = limit.lines().last().and_then(|line| line.trim().parse().ok()).unwrap_or(16);
        Ok(Keyspace { used, limit })
    }

    /// Empties the databases and keeps what was in them under other numbers.
    ///
    /// # Errors
    /// The service refuses.
    pub async fn set_cache_aside(&self, cache: &CachePlace, numbers: &[(u32, u32)]) -> Result<(), Failure> {
        self.for_each(cache, numbers, ASIDE).await
    }

    /// # Errors
    /// The service refuses.
    pub async fn bring_cache_back(&self, cache: &CachePlace, numbers: &[(u32, u32)]) -> Result<(), Failure> {
        self.for_each(cache, numbers, BACK).await
    }

    /// # Errors
    /// The service refuses.
    pub async fn remove_cache_aside(
        &self,
        cache: &CachePlace,
        numbers: &[(u32, u32)],
    ) -> Result<(), Failure> {
        self.for_each(cache, numbers, FORGET).await
    }

    async fn for_each(
        &self,
        cache: &CachePlace,
        numbers: &[(u32, u32)],
        script: &str,
    ) -> Result<(), Failure> {
        let inside = self.look_inside(&cache.project, &cache.service).await?;
        for (from, to) in numbers {
            let words = ["EVAL", script, "0", &from.to_string(), &to.to_string(), MARK];
            let told = self.ask_redis(cache, &inside, &words).await?;
            if told.trim() != "done" {
                return Err(refused(cache, &told));
            }
        }
        Ok(())
    }

    async fn ask_redis(
        &self,
        cache: &CachePlace,
        inside: &Inside,
        words: &[&str],
    ) -> Result<String, Failure> {
        let mut variables = Vec::new();
        if let Some(password) = password(inside)? {
            variables.extend(["REDISCLI_AUTH", "VALKEYCLI_AUTH"].map(|name| format!("{name}={password}")));
        }
        for client in CLIENTS {
            let command: Vec<&str> = [client].into_iter().chain(words.iter().copied()).collect();
            if let Some(told) = self.run_inside(&inside.id, &command, &variables).await? {
                return Ok(told);
            }
        }
        Err(Failure::new(format!("`{}` of `{}` has no Redis client inside", cache.service, cache.project))
            .hint(format!("write `caches: {{ {}: leave }}` under `seed:`", cache.service)))
    }

    /// What a command says; `None` when the container has no such program.
    async fn run_inside(
        &self,
        id: &str,
        command: &[&str],
        variables: &[String],
    ) -> Result<Option<String>, Failure> {
        let what = || Failure::new(format!("could not run `{}` inside a container", command[0]));
        let docker = self.docker().await?;
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.iter().map(|&word| word.to_owned()).collect()),
            env: Some(variables.to_vec()),
            ..CreateExecOptions::default()
        };
        let made = docker.create_exec(id, options).await.map_err(|error| what().because(said(error)))?;
        let started = docker.start_exec(&made.id, None).await;
        let mut text = String::new();
        match started {
            Ok(StartExecResults::Attached { output, .. }) => {
                let each = output.map_err(|error| what().because(said(error)));
                let all: Vec<LogOutput> = each.try_collect().await?;
                all.iter().for_each(|part| text.push_str(&String::from_utf8_lossy(part.as_ref())));
            }
            Ok(StartExecResults::Detached) => {}
            Err(error) if is_missing(&error.to_string()) => return Ok(None),
            Err(error) => return Err(what().because(said(error))),
        }
        let ended = docker.inspect_exec(&made.id).await.map_err(|error| what().because(said(error)))?;
        Ok((!matches!(ended.exit_code, Some(126 | 127))).then_some(text))
    }
}

fn is_missing(message: &str) -> bool {
    message.contains("executable file not found") || message.contains("no such file or directory")
}

/// As the container knows it: by a variable, or by the word behind `--requirepass`.
fn password(inside: &Inside) -> Result<Option<String>, Failure> {
    for name in PASSWORDS {
        if let Some(found) = inside.secret(name)? {
            return Ok(Some(found));
        }
    }
    let at = inside.command.iter().position(|word| word == "--requirepass");
    Ok(at.and_then(|at| inside.command.get(at + 1)).cloned())
}

fn refused(cache: &CachePlace, told: &str) -> Failure {
    let known: BTreeMap<&str, &str> = BTreeMap::from([
        ("NOAUTH", "set `REDISCLI_AUTH` among the service's variables"),
        ("WRONGPASS", "correct `REDISCLI_AUTH` among the service's variables"),
    ]);
    let hint = known.iter().find(|(word, _)| told.contains(**word)).map(|(_, hint)| (*hint).to_owned());
    let leave = format!("write `caches: {{ {}: leave }}` under `seed:`", cache.service);
    Failure::new(format!("`{}` of `{}` cannot be set aside", cache.service, cache.project))
        .because(told.trim().chars().take(200).collect::<String>())
        .hint(hint.map_or(leave.clone(), |hint| format!("{hint}, or {leave}")))
}
