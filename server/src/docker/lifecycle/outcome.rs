//! The image that a lifecycle put into the registry, and the processes that it declares.

use bytes::Bytes;
use serde::Deserialize;

use super::{LifecycleError, LifecycleRequest, papers};

/// What the exporter writes about the processes.
const METADATA: &str = "io.buildpacks.build.metadata";

/// An image in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LifecycleBuilt {
    /// `sha256:…`
    pub(crate) digest: String,
    pub(crate) processes: Vec<LifecycleProcess>,
}

/// A way to run the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LifecycleProcess {
    pub(crate) process_type: String,
    /// As the buildpack declared it: for people to read. `entrypoint` is what runs.
    pub(crate) command: Vec<String>,
    /// What the image runs by itself.
    pub(crate) default: bool,
}

impl LifecycleProcess {
    /// The program in the image that sets the buildpacks' environment up and runs this process.
    pub(crate) fn entrypoint(&self) -> String {
        program_of(&self.process_type)
    }
}

fn program_of(process_type: &str) -> String {
    format!("/cnb/process/{process_type}")
}

/// Takes the digest from the report, and the processes from the image that the registry has by that digest.
pub(super) async fn read(
    request: &LifecycleRequest,
    report: &Bytes,
) -> Result<LifecycleBuilt, LifecycleError> {
    let lack = |lack| LifecycleError::Incomplete { builder: request.builder.clone(), lack };
    let report = String::from_utf8_lossy(report);
    let digest = papers::string_of(&report, "digest").ok_or_else(|| lack("digest in its report"))?;
    let config = request.registry.config_of(&request.repository, &digest).await?;
    let labels = config.labels.unwrap_or_default();
    let metadata = labels.get(METADATA).ok_or_else(|| lack(METADATA))?;
    let entrypoint = config.entrypoint.unwrap_or_default();
    let processes =
        processes(metadata, &entrypoint).map_err(|_| lack("readable label io.buildpacks.build.metadata"))?;
    Ok(LifecycleBuilt { digest, processes })
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    processes: Option<Vec<Process>>,
}

#[derive(Deserialize)]
struct Process {
    #[serde(rename = "type")]
    process_type: String,
    command: Words,
    #[serde(default)]
    args: Option<Vec<String>>,
}

/// Before the Platform API 0.10 a command was one word.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

/// Which one is the default shows in the image's entrypoint alone.
fn processes(metadata: &str, entrypoint: &[String]) -> Result<Vec<LifecycleProcess>, serde_json::Error> {
    let metadata: Metadata = serde_json::from_str(metadata)?;
    let read = |process: Process| {
        let mut command = match process.command {
            Words::One(word) => vec![word],
            Words::Many(words) => words,
        };
        command.extend(process.args.unwrap_or_default());
        let program = program_of(&process.process_type);
        LifecycleProcess { process_type: process.process_type, command, default: *entrypoint == [program] }
    };
    Ok(metadata.processes.unwrap_or_default().into_iter().map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_read_in_both_forms() {
        let metadata = r#"{"processes":[
            {"type":"web","command":["sh","-c"],"args":["serve"],"direct":true,"buildpackID":"a/b"},
            {"type":"worker","command":"work","args":null,"direct":false}],"buildpacks":[]}"#;
        let found = processes(metadata, &["/cnb/process/web".to_owned()]).unwrap();
        assert_eq!(found[0].command, ["sh", "-c", "serve"]);
        assert!(found[0].default && !found[1].default);
        assert_eq!(found[1].command, ["work"]);
        assert_eq!(found[1].entrypoint(), "/cnb/process/worker");
        assert_eq!(processes(r#"{"processes":null}"#, &[]).unwrap(), []);
    }
}
