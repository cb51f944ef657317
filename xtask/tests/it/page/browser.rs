//! A real browser, headless Chromium, driven as WebDriver clients do: JSON over HTTP to chromedriver.

use data_encoding::BASE64;
use reqwest::blocking::Client;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// What gets both programs.
const INSTALL: &str = "apt-get install chromium chromium-driver";
/// The key of an element's name in WebDriver's answers, as the standard has it.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// No sandbox, since root has none in a container; no word to anyone but the page's own server.
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
];

/// A browser with a new profile; it ends with this value.
pub struct Browser {
    driver: Child,
    client: Client,
    session: String,
    _profile: TempDir,
}

/// How a browser is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scripts {
    Run,
    Off,
}

impl Browser {
    pub fn start(scripts: Scripts) -> Self {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver =
            command.spawn().unwrap_or_else(|error| panic!("chromedriver: {error}; to fix it: {INSTALL}"));
        let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = said
            .find_map(|line| line.unwrap().strip_suffix('.')?.rsplit_once("on port ")?.1.parse::<u16>().ok())
            .expect("chromedriver says no port");
        // A pipe that nobody reads would stop it some day.
        std::thread::spawn(move || said.for_each(drop));
        let profile = crate::driver::scratch();
        // What a client wants before it is made, though all it talks is plain HTTP; a second one does no harm.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder().timeout(Duration::from_secs(60)).no_proxy().build().unwrap();
        let base = format!("http://127.0.0.1:{port}/session");
        let wanted = capabilities(profile.path(), scripts);
        let answer: Value = post(&client, &base, &wanted);
        let id = answer["value"]["sessionId"].as_str();
        let id = id.unwrap_or_else(|| panic!("no browser: {answer}\nto fix it: {INSTALL}"));
        Self { driver, client, session: format!("{base}/{id}"), _profile: profile }
    }

    /// A command of WebDriver; its value.
    fn ask(&self, what: &str, body: &Value) -> Value {
        let mut answer = post(&self.client, &format!("{}/{what}", self.session), body);
        assert!(answer["value"]["error"].is_null(), "{what} {body}: {answer}");
        answer["value"].take()
    }

    fn get(&self, what: &str) -> Value {
        let request = self.client.get(format!("{}/{what}", self.session));
        let mut answer: Value = serde_json::from_slice(&request.send().unwrap().bytes().unwrap()).unwrap();
        assert!(answer["value"]["error"].is_null(), "{what}: {answer}");
        answer["value"].take()
    }

    /// Chromium's own protocol, for what WebDriver lacks.
    fn chromium(&self, command: &str, parameters: &Value) -> Value {
        self.ask("goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    pub fn open(&self, address: &str) {
        self.ask("url", &json!({ "url": address }));
    }

    /// The window as a page sees it; a phone's is 320 wide.
    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.chromium("Emulation.setDeviceMetricsOverride", &size);
    }

    /// What the reader prefers: `light` or `dark`.
    pub fn prefer(&self, scheme: &str) {
        let feature = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.chromium("Emulation.setEmulatedMedia", &feature);
    }

    /// What the page may do without asking the reader.
    pub fn permit(&self, what: &str) {
        self.ask("permissions", &json!({ "descriptor": { "name": what }, "state": "granted" }));
    }

    /// Runs `script`, the body of an async function, in the page.
    pub fn run(&self, script: &str) -> Value {
        let script = format!("return (async () => {{ {script} }})()");
        self.ask("execute/sync", &json!({ "script": script, "args": [] }))
    }

    fn find(&self, selector: &str) -> String {
        let found = self.ask("element", &json!({ "using": "css selector", "value": selector }));
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// The text of an element as a reader sees it: nothing, if it is hidden.
    pub fn text(&self, selector: &str) -> String {
        self.get(&format!("element/{}/text", self.find(selector))).as_str().unwrap().to_owned()
    }

    pub fn click(&self, selector: &str) {
        self.ask(&format!("element/{}/click", self.find(selector)), &json!({}));
    }

    /// Types into an element, as from a keyboard.
    pub fn press(&self, selector: &str, keys: &str) {
        self.ask(&format!("element/{}/value", self.find(selector)), &json!({ "text": keys }));
    }

    /// A key, to whatever has the focus.
    pub fn press_key(&self, key: &str) {
        let strokes = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        self.ask("actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": strokes }] }));
    }

    /// Chooses an option of a `select`, as a click on it does.
    pub fn choose(&self, select: &str, option: &str) {
        let script = format!(
            "const select = document.querySelector('{select}');
             select.value = '{option}';
             if (select.value !== '{option}') throw new Error('no such option');
             select.dispatchEvent(new Event('change', {{ bubbles: true }}));"
        );
        self.run(&script);
    }

    /// A picture of what is in the window, and of the whole page if `whole`.
    pub fn picture(&self, to: &Path, whole: bool) -> Vec<u8> {
        let shot = self
            .chromium("Page.captureScreenshot", &json!({ "format": "png", "captureBeyondViewport": whole }));
        let png = BASE64.decode(shot["data"].as_str().unwrap().as_bytes()).unwrap();
        fs::write(to, &png).unwrap();
        png
    }

    /// What the console got, warnings of the browser about the page included.
    pub fn console(&self) -> Vec<Value> {
        self.log("browser")
    }

    /// Every address that was asked for since the last call, the page's own among them.
    pub fn requests(&self) -> Vec<String> {
        let events = self.log("performance").into_iter().map(|entry| {
            let text = entry["message"].as_str().unwrap();
            serde_json::from_str::<Value>(text).unwrap()["message"].take()
        });
        let sent = events.filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        self.ask("se/log", &json!({ "type": kind })).as_array().unwrap().clone()
    }
}

fn capabilities(profile: &Path, scripts: Scripts) -> Value {
    let mut flags: Vec<String> = FLAGS.map(str::to_owned).to_vec();
    flags.push(format!("--user-data-dir={}", profile.display()));
    let mut options = json!({ "args": flags });
    if scripts == Scripts::Off {
        options["prefs"] = json!({ "profile.managed_default_content_settings.javascript": 2 });
    }
    let logs = json!({ "browser": "ALL", "performance": "ALL" });
    json!({ "capabilities": { "alwaysMatch": {
        "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": logs,
    } } })
}

fn post(client: &Client, address: &str, body: &Value) -> Value {
    let request = client.post(address).header("content-type", "application/json").body(body.to_string());
    serde_json::from_slice(&request.send().unwrap().bytes().unwrap()).unwrap()
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends first, and chromedriver after it; whatever of it fails, the next does the rest.
        drop(self.client.delete(&self.session).send());
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}
