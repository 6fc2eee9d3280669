//! One question to one container: an HTTP request, a connection, or a command within it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bollard::exec::{CreateExecOptions, StartExecResults};
use futures::TryStreamExt;
use tokio::net::TcpStream;

use super::{DockerTarget, gate};
use crate::domain::health::{Ask, Probe};
use crate::domain::names::AppName;

/// Bytes of what a command said that are shown.
const SHOWN: usize = 300;

/// Who is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) app: &'a AppName,
    pub(super) id: &'a str,
    /// The port that the process was told, and where the host reaches it.
    pub(super) port: Option<u16>,
    pub(super) address: Option<SocketAddr>,
}

impl DockerTarget {
    /// One try. The error says what came instead of success, as the end of a sentence.
    pub(super) async fn probe(&self, asked: Asked<'_>, probe: &Probe) -> Result<(), String> {
        let limit = Duration::from_secs(probe.timeout.into());
        let question = async {
            match &probe.ask {
                Ask::Http { path, port } => {
                    let address = self.address_of(asked, *port).await?;
                    match gate::answer(asked.app, address, path).await {
                        Ok((status, _)) if status.is_success() || status.is_redirection() => Ok(()),
                        Ok((status, body)) => Err(format!("it answered {status}{}", shown(&body))),
                        Err(error) => Err(format!("there was no answer: {error}")),
                    }
                }
                Ask::Listening { port } => self.listening(asked, *port).await,
                Ask::Command(words) => self.command(asked.id, words).await,
                Ask::Uptime(_) => Ok(()),
            }
        };
        match tokio::time::timeout(limit, question).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("it took longer than {} s", probe.timeout)),
        }
    }

    async fn listening(&self, asked: Asked<'_>, port: Option<u16>) -> Result<(), String> {
        let address = self.address_of(asked, port).await?;
        let own = asked.port.filter(|own| port.is_none_or(|port| port == *own));
        match own {
            // The engine's proxy accepts for a process that does not.
            Some(own) if self.listens(asked.id, address, own).await => Ok(()),
            Some(_) => Err("nothing listens there".to_owned()),
            None => {
                TcpStream::connect(address).await.map(drop).map_err(|_| "nothing listens there".to_owned())
            }
        }
    }

    /// The published address for the port that the process was told; for another one the container's own.
    async fn address_of(&self, asked: Asked<'_>, port: Option<u16>) -> Result<SocketAddr, String> {
        let own = port.is_none_or(|port| asked.port == Some(port));
        match (asked.address, port) {
            (Some(address), _) if own => Ok(address),
            (_, Some(port)) => {
                let ip = self.ip_of(asked.id).await.ok_or("the container has no address of its own")?;
                Ok(SocketAddr::new(ip, port))
            }
            _ => Err("it has no port".to_owned()),
        }
    }

    async fn ip_of(&self, id: &str) -> Option<IpAddr> {
        let networks = self.docker.inspect_container(id, None).await.ok()?.network_settings?.networks?;
        networks.values().find_map(|network| network.ip_address.as_deref()?.parse().ok())
    }

    async fn command(&self, id: &str, words: &[String]) -> Result<(), String> {
        let options = CreateExecOptions {
            cmd: Some(words.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..Default::default()
        };
        let run = async {
            let exec = self.docker.create_exec(id, options).await?.id;
            let mut text = Vec::new();
            if let StartExecResults::Attached { mut output, .. } = self.docker.start_exec(&exec, None).await?
            {
                while let Some(chunk) = output.try_next().await? {
                    if text.len() < SHOWN {
                        text.extend_from_slice(&chunk.into_bytes());
                    }
                }
            }
            Ok::<_, bollard::errors::Error>((self.docker.inspect_exec(&exec).await?.exit_code, text))
        };
        match run.await {
            Ok((Some(0), _)) => Ok(()),
            Ok((code, text)) => {
                let code = code.map_or_else(String::new, |code| format!(" with exit status {code}"));
                Err(format!("it ended{code}{}", shown(&String::from_utf8_lossy(&text))))
            }
            Err(error) => Err(format!("it could not be run: {error}")),
        }
    }
}

fn shown(text: &str) -> String {
    let text: String = text.trim().chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
