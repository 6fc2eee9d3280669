//! The image by a builder of Cloud Native Buildpacks: its lifecycle makes it and puts it into the registry at once.

use std::collections::BTreeMap;

use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use super::build::{Image, made_before};
use super::detect::Detected;
use super::source::Source;
use super::{Again, Line, Stop, reuse, workload};
use crate::db::releases;
use crate::docker::build::Cache;
use crate::docker::lifecycle::{Fault, LifecycleError, LifecycleLimits, LifecycleProcess, LifecycleRequest};
use crate::domain::blueprint::Blueprint;
use crate::domain::names::{ConfigKey, ProcessType};

/// Runs a command line in the environment that the buildpacks have made.
const LAUNCHER: &str = "/cnb/lifecycle/launcher";

pub(super) async fn image(
    line: &Line,
    source: &Source,
    detected: &Detected,
    builder: &str,
) -> Result<Image, Stop> {
    let platform = &line.platform;
    let extra_ca = platform.extra_ca().await.map_err(Stop::ours)?;
    let reuse_key = key(line, source, builder, extra_ca.as_deref()).await;
    if let Some(found) = made_before(line, reuse_key.as_deref()).await? {
        return Ok(found);
    }
    let environment =
        workload::config_vars(platform, &line.app, &line.app.config).await.map_err(Stop::ours)?;
    let settings = &platform.settings;
    let request = LifecycleRequest {
        snapshot: source.snapshot.clone(),
        builder: builder.to_owned(),
        trust: settings.lifecycle.trust_in(builder),
        connected_image: settings.lifecycle.image.clone(),
        registry: platform.registry.clone(),
        repository: line.repository(),
        tag: line.tag(),
        previous: previous(line).await?,
        cache: if line.build.no_cache { Cache::Ignore } else { Cache::Use },
        environment: with_trees(environment, source)?,
        extra_ca,
        limits: LifecycleLimits {
            memory: settings.lifecycle.memory,
            millicpu: settings.lifecycle.millicpu,
            deadline: settings.build.deadline,
            idle_deadline: settings.build.idle_deadline,
        },
        owner: platform.id.to_string(),
        cache_name: line.app.id.to_string(),
        cancel: line.cancel.clone(),
    };
    let built = platform.engine.lifecycle(&request, &line.transcript).await.map_err(stop)?;
    line.transcript.detail(format!("digest {}", built.digest)).await;
    for process in &built.processes {
        let command = shell_words::join(&process.command);
        line.transcript.detail(format!("{}: {command}", process.process_type)).await;
    }
    let processes = processes(&built.processes, detected.processes.as_ref());
    let blueprint = Blueprint::new((!processes.is_empty()).then_some(processes), &[]);
    let blueprint = serde_json::to_value(blueprint).map_err(|error| Stop::ours(error.into()))?;
    Ok(Image::InRegistry { digest: built.digest, blueprint, reuse_key })
}

/// What the image is made of; `None` if the engine does not have the builder yet.
async fn key(line: &Line, source: &Source, builder: &str, extra_ca: Option<&[u8]>) -> Option<String> {
    let identity = reuse::identity(&line.platform.engine, builder).await?;
    let of = serde_json::json!({
        "generation": reuse::GENERATION,
        "builder": identity,
        "tree": source.snapshot.tree,
        "config": line.app.config,
        "environment": source.choice.environment,
        "ca": extra_ca.map(|pem| hex::encode(Sha256::digest(pem))),
    });
    Some(hex::encode(Sha256::digest(format!("builder {of}"))))
}

/// The image whose layers may be used again. One that no lifecycle has made (the app had a Dockerfile until now) lacks
/// the label that says which layers those are, and a lifecycle begins as if there were none.
async fn previous(line: &Line) -> Result<Option<String>, Stop> {
    let mut conn = line.platform.pool.acquire().await?;
    let current = releases::current_of(&mut conn, line.app.id).await?;
    // One that was built elsewhere may lie elsewhere.
    let built = current.and_then(|release| release.code).filter(|code| code.commit.is_some());
    Ok(built.map(|code| code.digest))
}

type Environment = BTreeMap<ConfigKey, SecretString>;

/// What the tree sets for builds; config vars go before it.
fn with_trees(mut config: Environment, source: &Source) -> Result<Environment, Stop> {
    for (name, value) in &source.choice.environment {
        let key = name.parse().map_err(|error| {
            Stop::Failed(format!("app.json or project.toml sets a variable for the build, and {error}"))
        })?;
        config.entry(key).or_insert_with(|| value.clone().into());
    }
    Ok(config)
}

/// The image's processes by the program that starts them, and the Procfile's others through the launcher.
fn processes(
    declared: &[LifecycleProcess],
    procfile: Option<&BTreeMap<ProcessType, String>>,
) -> BTreeMap<ProcessType, String> {
    let mut all = BTreeMap::new();
    for process in declared {
        let name: Result<ProcessType, _> = process.process_type.parse();
        // A type that is no name here can still be the default, which runs as web below.
        if let Ok(name) = name {
            all.insert(name, process.entrypoint());
        }
    }
    for (name, command) in procfile.into_iter().flatten() {
        let line = command.replace('\'', r"'\''");
        all.entry(name.clone()).or_insert_with(|| format!("{LAUNCHER} '{line}'"));
    }
    let default = declared.iter().find(|process| process.default);
    if let (false, Some(default)) = (all.contains_key(&ProcessType::web()), default) {
        all.insert(ProcessType::web(), default.entrypoint());
    }
    all
}

/// Whose fault a failed build is.
fn stop(error: LifecycleError) -> Stop {
    match error.fault() {
        Fault::Nobodys => Stop::Canceled,
        Fault::Users => Stop::Failed(error.to_string()),
        Fault::Ours => Stop::Errored { sentence: error.to_string(), error: error.into(), again: Again::Yes },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(name: &str, default: bool) -> LifecycleProcess {
        LifecycleProcess { process_type: name.to_owned(), command: Vec::new(), default }
    }

    fn shown(declared: &[LifecycleProcess], procfile: &str) -> Vec<String> {
        let procfile = crate::domain::procfile::parse(procfile).ok();
        let all = processes(declared, procfile.as_ref());
        all.iter().map(|(name, command)| format!("{}: {command}", name.as_str())).collect()
    }

    #[test]
    fn the_images_processes_go_before_the_procfiles_which_run_in_the_buildpacks_environment() {
        let declared = [process("web", true), process("worker", false)];
        assert_eq!(shown(&declared, ""), ["web: /cnb/process/web", "worker: /cnb/process/worker"]);
        assert_eq!(
            shown(&declared, "web: ./a\nclock: echo 'tick'"),
            [
                r"clock: /cnb/lifecycle/launcher 'echo '\''tick'\'''",
                "web: /cnb/process/web",
                "worker: /cnb/process/worker"
            ]
        );
    }

    #[test]
    fn a_default_of_any_name_is_the_web_process_where_there_is_none() {
        assert_eq!(
            shown(&[process("hello", true)], ""),
            ["hello: /cnb/process/hello", "web: /cnb/process/hello"]
        );
        assert_eq!(shown(&[], ""), Vec::<String>::new());
    }
}
