//! A real OpenID Connect provider: npm's oidc-provider over HTTPS, with people of the story's own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::parts::{Setting, free_port, skip};
use crate::platform::{Platform, Start};
use crate::tls;
use crate::wait::{LONG, until};

/// See the module. It ends when it is dropped, or with the platform in whose folder it lies.
#[derive(Debug)]
pub struct Provider {
    folder: PathBuf,
    child: Child,
}

impl Provider {
    /// A platform whose people may sign in by a provider, which lies in its folder and ends with it.
    pub fn beside(settings: Start) -> Option<(Arc<Platform>, Self)> {
        let platform = settings.later()?;
        let (folder, port) = (platform.home().join("oidc"), free_port());
        let provider = Self::start(&folder, port, &format!("{}/ui/sign-in/callback", platform.url()))?;
        let mut server = platform.server();
        server.set("SLIPWAY_OIDC_ISSUER", &format!("https://localhost:{port}"));
        server.set("SLIPWAY_OIDC_CLIENT_ID", "slipway");
        server.set("SLIPWAY_OIDC_CLIENT_SECRET_FILE", &folder.join("secret").display().to_string());
        server.set("SLIPWAY_OIDC_CA", &folder.join("cert.pem").display().to_string());
        server.set("SLIPWAY_OIDC_LABEL", "Example");
        server.start();
        server.until_ready();
        drop(server);
        platform.introduce();
        Some((platform, provider))
    }

    fn start(folder: &Path, port: u16, back: &str) -> Option<Self> {
        let Some(program) = Setting::Oidc.get() else {
            skip("SLIPWAY_TEST_OIDC does not name a provider's folder: `tests/oidc/fetch` has it");
            return None;
        };
        fs::create_dir_all(folder).expect("a folder");
        tls::certificate(folder);
        fs::write(folder.join("people.json"), "{}").expect("people.json");
        fs::write(folder.join("secret"), "of the stories & more\n").expect("a secret");
        let log = fs::File::create(folder.join("output.log")).expect("a log");
        let started = Command::new("node")
            .env_clear()
            .env("PATH", Setting::Path.get().unwrap_or_default())
            .arg(Path::new(&program).join("server.js"))
            .arg(folder)
            .args([port.to_string().as_str(), back])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn();
        let Ok(child) = started else {
            skip("there is no node: Debian's package nodejs has it");
            return None;
        };
        let provider = Self { folder: folder.to_owned(), child };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        until("the provider to listen", LONG, || TcpStream::connect(address).is_ok());
        Some(provider)
    }

    /// What it says from now on of who signs in there as `login`.
    pub fn says_of(&self, login: &str, email: &str, verified: bool) {
        let path = self.folder.join("people.json");
        let text = fs::read_to_string(&path).expect("people.json");
        let mut people: Value = serde_json::from_str(&text).expect("JSON");
        people[login] = json!({ "email": email, "email_verified": verified });
        fs::write(&path, people.to_string()).expect("people.json");
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.child.kill().ok();
        drop(self.child.wait());
    }
}
