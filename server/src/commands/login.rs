//! Making `platform` a host of SSH, with the server's key pinned, and keeping the token of the command line.

use std::path::Path;

use super::failure::Failure;
use super::grammar::Login;
use super::run::{Door, Session};
use super::saved::{self, write_private};
use crate::web::api::shapes::{Account, Doors};

const BEGIN: &str = "# Slipway: begin (written by `slipway login`)";
const END: &str = "# Slipway: end";

/// Signs in on the command line; over SSH, where the key has proved who asks, it prints what to copy.
pub(super) async fn login(session: &mut Session, args: Login) -> Result<(), Failure> {
    let doors: Doors = session.client.get("/platform").await?;
    if session.door == Door::Ssh && !session.options.json {
        return print_for_ssh(session, &doors).await;
    }
    let account: Account = session.client.get("/account").await?;
    saved::remember(&session.client)?;
    if session.options.json {
        return session.terminal.json(&doors).await;
    }
    session.terminal.line(format!("Signed in to {} as {}.", doors.http_url, account.name)).await?;
    let known_hosts = saved::folder()?.join("known_hosts");
    write_private(&known_hosts, &host_keys(&doors))?;
    let block = block(&doors, &known_hosts.display().to_string());
    if args.write {
        let file = saved::home()?.join(".ssh/config");
        write_block(&file, &block)?;
        session.terminal.line(format!("`platform` is a host of SSH now ({}):", file.display())).await?;
        session.terminal.line("    ssh platform apps").await
    } else {
        session
            .terminal
            .line("Put this into ~/.ssh/config (or let `slipway login --write` do it):\n")
            .await?;
        session.terminal.line(block).await
    }
}

async fn print_for_ssh(session: &mut Session, doors: &Doors) -> Result<(), Failure> {
    session.terminal.line("# Into ~/.ssh/known_hosts:").await?;
    session.terminal.line(host_keys(doors).trim_end()).await?;
    session.terminal.line("\n# Into ~/.ssh/config:").await?;
    session.terminal.line(block(doors, "~/.ssh/known_hosts")).await
}

/// What `ssh -p` would say each time.
fn block(doors: &Doors, known_hosts: &str) -> String {
    let Doors { ssh_host, ssh_port, ssh_user, .. } = doors;
    // A quoted name may hold spaces; ssh_config knows no other escape.
    format!(
        "Host platform\n    HostName {ssh_host}\n    Port {ssh_port}\n    User {ssh_user}\n    \
         UserKnownHostsFile \"{known_hosts}\"\n    StrictHostKeyChecking yes\n    UpdateHostKeys no\n"
    )
}

/// Lines of known_hosts: a port other than 22 stands with the name in brackets.
fn host_keys(doors: &Doors) -> String {
    let host = match doors.ssh_port {
        22 => doors.ssh_host.clone(),
        port => format!("[{}]:{port}", doors.ssh_host),
    };
    doors.ssh_host_keys.iter().map(|key| format!("{host} {key}\n")).collect()
}

/// Replaces the block between our marks, or puts it first: ssh takes the first value that it finds.
fn write_block(file: &Path, block: &str) -> Result<(), Failure> {
    let old = match std::fs::read_to_string(file) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::refused(format!("{} cannot be read: {error}", file.display()))),
    };
    write_private(file, &with_block(&old, block))
}

fn with_block(old: &str, block: &str) -> String {
    let ours = format!("{BEGIN}\n{block}{END}\n");
    match (old.find(BEGIN), old.find(END)) {
        (Some(begin), Some(end)) if begin < end => {
            let rest = old[end + END.len()..].strip_prefix('\n').unwrap_or(&old[end + END.len()..]);
            format!("{}{ours}{rest}", &old[..begin])
        }
        _ if old.is_empty() => ours,
        _ => format!("{ours}\n{old}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors(port: u16) -> Doors {
        Doors {
            version: "0".into(),
            http_url: "http://localhost:7080".into(),
            app_url: None,
            ssh_host: "deploy.example.com".into(),
            ssh_port: port,
            ssh_user: "slipway".into(),
            ssh_host_keys: vec!["ssh-ed25519 AAAA".into()],
        }
    }

    #[test]
    fn the_host_key_is_pinned_for_the_port() {
        assert_eq!(host_keys(&doors(7022)), "[deploy.example.com]:7022 ssh-ed25519 AAAA\n");
        assert_eq!(host_keys(&doors(22)), "deploy.example.com ssh-ed25519 AAAA\n");
        let block = block(&doors(7022), "/home/ada/known hosts");
        assert!(block.contains("    StrictHostKeyChecking yes\n"), "{block}");
        assert!(block.contains("    UserKnownHostsFile \"/home/ada/known hosts\"\n"), "{block}");
    }

    #[test]
    fn a_second_login_replaces_the_block_and_touches_nothing_else() {
        let first = with_block("Host other\n    Port 1\n", "Host platform\n    Port 1\n");
        let second = with_block(&first, "Host platform\n    Port 2\n");
        assert_eq!(second, first.replace("Host platform\n    Port 1\n", "Host platform\n    Port 2\n"));
        assert!(second.ends_with("\nHost other\n    Port 1\n"));
    }
}
