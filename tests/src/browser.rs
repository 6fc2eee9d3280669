//! A real Chromium, driven over WebDriver. That is JSON over HTTP, so the harness' own requests are all it takes.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::http::Ask;
use crate::parts::{Setting, free_port, skip};
use crate::platform::Platform;
use crate::wait::{LONG, SHORT, wait_for};

/// How WebDriver names a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// What a person prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    Light,
    Dark,
}

impl Theme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// Somebody's browser, without cookies at first. Its processes carry the platform's folder in their arguments, so that
/// the platform's guard ends them if the story cannot.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    base: String,
    axe: String,
    screenshots: PathBuf,
    _platform: Arc<Platform>,
}

impl Browser {
    /// `None` if the machine lacks a part.
    pub fn start(platform: &Arc<Platform>) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let Some(axe) = Setting::Axe.get() else {
            skip("SLIPWAY_TEST_AXE does not name axe-core's script: `tests/axe/fetch` has it");
            return None;
        };
        let axe = fs::read_to_string(axe).expect("axe-core's script");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = platform.home().join(format!("browser-{number}"));
        fs::create_dir_all(&folder).expect("a folder");
        let port = free_port();
        let started = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .arg(format!("--log-path={}", folder.join("driver.log").display()))
            .env("HOME", &folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        let Ok(driver) = started else {
            skip("there is no chromedriver: Debian's packages chromium and chromium-driver have it");
            return None;
        };
        let mut browser = Self {
            driver,
            port,
            session: String::new(),
            base: platform.url(),
            axe,
            screenshots: screenshots(),
            _platform: Arc::clone(platform),
        };
        wait_for("chromedriver to be ready", SHORT, || {
            let answer = Ask::get("127.0.0.1", "/status").send(port).ok()?;
            (answer.json()["value"]["ready"] == true).then_some(())
        });
        browser.session = browser.new_session(&folder);
        Some(browser)
    }

    fn new_session(&self, folder: &Path) -> String {
        let profile = format!("--user-data-dir={}", folder.join("profile").display());
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--no-proxy-server",
            "--hide-scrollbars",
            "--window-size=1280,900",
            &profile,
        ];
        // Providers of the stories sign their certificates themselves.
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": args }, "pageLoadStrategy": "normal", "acceptInsecureCerts": true,
        } } });
        let made = self.ask("POST", "/session", Some(&wanted));
        made["sessionId"].as_str().expect("a session").to_owned()
    }

    /// Opens a page of the platform and waits until it is loaded.
    pub fn open(&self, path: &str) -> &Self {
        let address = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        self.tell("/url", &json!({ "url": address }));
        self
    }

    pub fn path(&self) -> String {
        let url = self.command("GET", "/url", None).as_str().unwrap_or_default().to_owned();
        url.strip_prefix(&self.base).unwrap_or(&url).to_owned()
    }

    /// What can be read on the page.
    pub fn text(&self) -> String {
        self.script("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub fn shows(&self, words: &str) -> &Self {
        let text = self.text();
        assert!(text.contains(words), "no {words:?} at {}:\n{text}", self.path());
        self
    }

    #[track_caller]
    pub fn shows_not(&self, words: &str) -> &Self {
        let text = self.text();
        assert!(!text.contains(words), "{words:?} at {}:\n{text}", self.path());
        self
    }

    /// Waits until the page shows these words, as a person who only looks would.
    pub fn until_shows(&self, words: &str) -> &Self {
        wait_for(&format!("{words:?} on the page"), LONG, || self.text().contains(words).then_some(()));
        self
    }

    pub fn fill(&self, selector: &str, text: &str) -> &Self {
        let element = self.find("css selector", selector);
        self.tell(&format!("/element/{element}/clear"), &json!({}));
        self.tell(&format!("/element/{element}/value"), &json!({ "text": text }));
        self
    }

    /// Opens or closes what this selector finds first, on the page that is there.
    pub fn toggle(&self, selector: &str) -> &Self {
        let element = self.find("css selector", selector);
        self.tell(&format!("/element/{element}/click"), &json!({}));
        self
    }

    /// Clicks what this selector finds first, and waits for the page that it leads to.
    pub fn click(&self, selector: &str) -> &Self {
        self.click_found("css selector", selector)
    }

    /// Clicks the first link or button with these words.
    pub fn press(&self, words: &str) -> &Self {
        let path = format!("//main//*[self::a or self::button][contains(normalize-space(.), \"{words}\")]");
        self.click_found("xpath", &path)
    }

    /// Clicks what this XPath finds first.
    pub fn click_path(&self, path: &str) -> &Self {
        self.click_found("xpath", path)
    }

    fn click_found(&self, using: &str, what: &str) -> &Self {
        let element = self.find(using, what);
        self.tell(&format!("/element/{element}/click"), &json!({}));
        // The driver may answer while the old page is still there.
        let name = format!("/session/{}/element/{element}/name", self.session);
        wait_for("the old page to go", LONG, || self.try_ask("GET", &name, None).is_err().then_some(()));
        let state = format!("/session/{}/execute/sync", self.session);
        let asked = json!({ "script": "return document.readyState", "args": [] });
        wait_for("the new page", LONG, || {
            let answer = self.try_ask("POST", &state, Some(&asked)).ok()?;
            (answer == "complete").then_some(())
        });
        self
    }

    fn find(&self, using: &str, what: &str) -> String {
        let found = self.tell("/element", &json!({ "using": using, "value": what }));
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    /// What a script of the story's own returns; the page's policy binds the page's scripts only.
    pub fn script(&self, script: &str) -> Value {
        self.tell("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    pub fn looks(&self, theme: Theme, width: u32, height: u32) -> &Self {
        self.devtools(
            "Emulation.setEmulatedMedia",
            &json!({ "features": [{ "name": "prefers-color-scheme", "value": theme.as_str() }] }),
        );
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &screen);
        self
    }

    fn devtools(&self, command: &str, params: &Value) {
        self.tell("/goog/cdp/execute", &json!({ "cmd": command, "params": params }));
    }

    /// Without any script of the page's, from the next page on.
    pub fn without_script(&self) -> &Self {
        self.devtools("Emulation.setScriptExecutionDisabled", &json!({ "value": true }));
        self
    }

    /// Looks for barriers, in both themes and on a phone, and keeps pictures of the page below target/screenshots.
    #[track_caller]
    pub fn is_accessible(&self, name: &str) -> &Self {
        for (theme, width) in
            [(Theme::Light, 1280), (Theme::Light, 320), (Theme::Dark, 1280), (Theme::Dark, 320)]
        {
            self.looks(theme, width, 900);
            self.keep_picture(&format!("{name}-{}-{width}", theme.as_str()));
            let wide =
                self.script("return document.documentElement.scrollWidth").as_u64().unwrap_or(u64::MAX);
            assert!(wide <= u64::from(width), "{name} scrolls sideways: {wide} of {width}");
            let barriers = self.barriers();
            assert!(barriers.is_empty(), "{name}, {theme:?}, {width} wide:\n{}", barriers.join("\n"));
        }
        self.looks(Theme::Light, 1280, 900)
    }

    /// What axe-core finds to be serious or critical.
    fn barriers(&self) -> Vec<String> {
        let run = "const done = arguments[arguments.length - 1]; axe.run(document, { resultTypes: ['violations'] })
                   .then((found) => done(found.violations.filter((one) => ['serious', 'critical'].includes(one.impact))
                   .map((one) => one.id + ': ' + one.help + ' ' + one.nodes.map((node) => node.html).join(' '))))";
        let script = format!("{}\n{run}", self.axe);
        let found = self.tell("/execute/async", &json!({ "script": script, "args": [] }));
        let found = found.as_array().cloned().unwrap_or_default();
        found.iter().map(|one| one.as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Keeps a picture of what is on the screen below target/screenshots.
    pub fn keep_picture(&self, name: &str) {
        let picture = self.command("GET", "/screenshot", None);
        let picture = BASE64_STANDARD.decode(picture.as_str().expect("a picture")).expect("base64");
        fs::create_dir_all(&self.screenshots).expect("a folder");
        fs::write(self.screenshots.join(format!("{name}.png")), picture).expect("a file");
    }

    #[track_caller]
    fn tell(&self, path: &str, what: &Value) -> Value {
        self.command("POST", path, Some(what))
    }

    #[track_caller]
    fn command(&self, method: &str, path: &str, what: Option<&Value>) -> Value {
        self.ask(method, &format!("/session/{}{path}", self.session), what)
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, what: Option<&Value>) -> Value {
        self.try_ask(method, path, what).unwrap_or_else(|why| panic!("{method} {path}: {why}"))
    }

    /// The driver's answer, or its words of refusal.
    fn try_ask(&self, method: &str, path: &str, what: Option<&Value>) -> Result<Value, String> {
        let body = what.map(ToString::to_string);
        let host = format!("127.0.0.1:{}", self.port);
        let ask = Ask { method, host: &host, path, headers: Vec::new(), body };
        let answer = ask.send(self.port).map_err(|error| error.to_string())?;
        let value = answer.json()["value"].clone();
        let refused = || value["message"].as_str().unwrap_or_default().to_owned();
        if answer.status < 300 { Ok(value) } else { Err(refused()) }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.command("DELETE", "", None);
        }
        // Chromium belongs to the driver's group, as far as it has not ended with its session.
        let group = Pid::from_raw(i32::try_from(self.driver.id()).expect("a pid"));
        killpg(group, Signal::SIGKILL).ok();
        drop(self.driver.wait());
    }
}

/// Beside the programs under test.
fn screenshots() -> PathBuf {
    let target = crate::parts::slipway();
    target.ancestors().nth(2).unwrap_or(Path::new(".")).join("screenshots")
}
