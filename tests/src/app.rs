//! A gateway under test: in this process, on a port of its own, with a data folder and a database of its own.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use guichet::Running;
use guichet::config::load::{Origin, from_text};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::database::{Backend, TestDatabase};
use crate::index;

/// How long a test waits for what happens in the background.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct TestApp {
    pub running: Served,
    pub url: String,
    pub client: Client,
    pub admin_key: String,
    pub folder: TempDir,
    database: TestDatabase,
    /// Other gateways on the same database: each is asked in turn.
    others: Vec<String>,
    turns: [AtomicUsize; 2],
}

/// A gateway of this process, or none. One with documents is stopped before its folder goes: the index writes its last
/// there, and fails loudly when it cannot.
pub struct Served(Option<Running>);

impl Served {
    pub fn as_ref(&self) -> Option<&Running> {
        self.0.as_ref()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(running) = self.0.take()
            && running.app.retrieval.is_some()
            // On a runtime of one thread nothing runs while this waits.
            && Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread
        {
            tokio::task::block_in_place(|| Handle::current().block_on(running.stop()));
        }
    }
}

/// A project's key, and what it belongs to.
#[derive(Clone, Debug)]
pub struct Key {
    pub id: String,
    pub secret: String,
    pub organization_id: i64,
    pub project_id: i64,
}

/// The hostings every test configuration has.
const HOSTINGS: &str = "
hostings:
  state: {operator: Ministère, state_operated: true, country: FR, jurisdiction: FR, qualification: none, zone: paris}
  qualified: {operator: Opérateur, state_operated: false, country: FR, jurisdiction: FR, qualification: secnumcloud, zone: north}
  european: {operator: Europa, state_operated: false, country: DE, jurisdiction: DE, qualification: none, zone: berlin}
  foreign: {operator: Elsewhere, state_operated: false, country: FR, jurisdiction: US, qualification: none, zone: west}
";

/// The settings every test configuration has; each is laid under what the test writes.
pub fn configuration(folder: &Path, database: &str, more: &str) -> String {
    let listens = if more.contains("\nserver:") || more.starts_with("server:") {
        ""
    } else {
        "server: {listen: '127.0.0.1:0'}\n"
    };
    let more = index::laid_under(more, database);
    format!(
        "{listens}data: {:?}\ndatabase: {{url: {database:?}, max_connections: 4}}\n{HOSTINGS}\n{more}\n",
        folder.join("data").display().to_string()
    )
}

/// One model on one deployment, hosted by the State.
pub fn model(id: &str, kind: &str, url: &str, deployment: &str) -> String {
    format!(
        "  - {{id: {id}, type: {kind}, deployments: [{{name: {id}-d, url: '{url}', engine: openai, hosting: state{deployment}}}]}}\n"
    )
}

impl TestApp {
    /// A gateway on SQLite.
    pub async fn start(more: &str) -> TestApp {
        TestApp::on(Backend::Sqlite, more).await
    }

    /// A gateway on a given database, in a folder of its own.
    pub async fn on(backend: Backend, more: &str) -> TestApp {
        let folder = TempDir::new().expect("a temporary folder");
        let database = TestDatabase::new(backend, folder.path()).await;
        TestApp::in_folder(folder, database, more).await
    }

    /// A gateway in a folder that already holds data, or not.
    pub async fn in_folder(folder: TempDir, database: TestDatabase, more: &str) -> TestApp {
        let file = folder.path().join("guichet.yaml");
        std::fs::write(&file, configuration(folder.path(), &database.url, more)).expect("the configuration is written");
        let origin = Origin::File(file.clone());
        let text = std::fs::read_to_string(&file).expect("the configuration is read");
        let config = from_text(&origin, &text, Vec::new()).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let data = config.data.clone();
        let running = guichet::start(config, origin).await.unwrap_or_else(|error| panic!("{error}"));
        let admin_key =
            std::fs::read_to_string(data.join("admin.key")).expect("the first administrator's key").trim().to_owned();
        let url = format!("http://{}", running.address);
        TestApp::at(Some(running), url, admin_key, folder, database)
    }

    /// A gateway that runs in another process, in a folder made as for one of this process.
    pub fn outside(url: String, folder: TempDir, database: TestDatabase) -> TestApp {
        let admin_key = std::fs::read_to_string(folder.path().join("data/admin.key")).expect("the administrator's key");
        TestApp::at(None, url, admin_key.trim().to_owned(), folder, database)
    }

    fn at(
        running: Option<Running>,
        url: String,
        admin_key: String,
        folder: TempDir,
        database: TestDatabase,
    ) -> TestApp {
        let (others, turns) = (Vec::new(), <[AtomicUsize; 2]>::default());
        TestApp { running: Served(running), url, client: Client::new(), admin_key, folder, database, others, turns }
    }

    /// From now on, requests go in turn to this gateway and to another on the same database.
    pub fn beside(&mut self, url: String) {
        self.others.push(url);
    }

    /// All that are asked in turn.
    pub fn replicas(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.url).chain(&self.others).map(String::as_str)
    }

    /// Whose turn it is. What only looks takes no turn from what acts.
    fn next(&self, method: &Method) -> &str {
        let turn = self.turns[usize::from(*method == Method::POST)].fetch_add(1, Ordering::Relaxed);
        match turn % (1 + self.others.len()) {
            0 => &self.url,
            other => &self.others[other - 1],
        }
    }

    /// What a gateway of another process leaves.
    pub fn leave(self) -> (TempDir, TestDatabase) {
        (self.folder, self.database)
    }

    /// Writes another configuration for the watcher to find.
    pub fn write_configuration(&self, more: &str) {
        let text = configuration(self.folder.path(), &self.database.url, more);
        std::fs::write(self.folder.path().join("guichet.yaml"), text).expect("the configuration is written");
    }

    /// Stops the gateway and gives back what it leaves.
    pub async fn stop(mut self) -> (TempDir, TestDatabase) {
        if let Some(running) = self.running.0.take() {
            running.stop().await;
        }
        (self.folder, self.database)
    }

    pub fn database(&self) -> &TestDatabase {
        &self.database
    }

    pub fn request(&self, method: Method, path: &str, key: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.next(&method));
        self.client.request(method, url).bearer_auth(key)
    }

    pub async fn get(&self, path: &str, key: &str) -> (u16, Value) {
        read(self.request(Method::GET, path, key).send().await.expect("an answer")).await
    }

    pub async fn delete(&self, path: &str, key: &str) -> (u16, Value) {
        read(self.request(Method::DELETE, path, key).send().await.expect("an answer")).await
    }

    pub async fn patch(&self, path: &str, key: &str, body: &Value) -> (u16, Value) {
        read(self.request(Method::PATCH, path, key).json(body).send().await.expect("an answer")).await
    }

    pub async fn post(&self, path: &str, key: &str, body: &Value) -> (u16, Value) {
        read(self.send(path, key, body).await).await
    }

    /// As [`TestApp::post`], with the whole response.
    pub async fn send(&self, path: &str, key: &str, body: &Value) -> Response {
        self.request(Method::POST, path, key).json(body).send().await.expect("an answer")
    }

    /// A chat with one message.
    pub async fn chat(&self, key: &Key, model: &str) -> (u16, Value) {
        self.post("/v1/chat/completions", &key.secret, &chat(model)).await
    }

    /// A project of a new organization, and its key.
    pub async fn key(&self, organization: &str, data_class: &str) -> Key {
        let (status, made) =
            self.post("/v1/admin/organizations", &self.admin_key, &json!({"name": organization})).await;
        assert!(status == 201, "{status} {made}");
        self.project_key(made["id"].as_i64().expect("an id"), "produit", data_class).await
    }

    /// A new project of an organization, and its key.
    pub async fn project_key(&self, organization_id: i64, project: &str, data_class: &str) -> Key {
        let project = json!({"organization_id": organization_id, "name": project, "data_class": data_class});
        let (status, made) = self.post("/v1/admin/projects", &self.admin_key, &project).await;
        assert!(status == 201, "{status} {made}");
        let project_id = made["id"].as_i64().expect("an id");
        let (status, made) =
            self.post("/v1/admin/keys", &self.admin_key, &json!({"project_id": project_id, "name": "test"})).await;
        assert!(status == 201, "{status} {made}");
        let text = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("{name} in {made}")).to_owned();
        Key { id: text("id"), secret: text("key"), organization_id, project_id }
    }

    /// The answers of all gateways that are asked in turn.
    pub async fn get_each(&self, path: &str, key: &str) -> Vec<(u16, Value)> {
        let mut answers = Vec::new();
        for url in self.replicas() {
            let request = self.client.get(format!("{url}{path}")).bearer_auth(key);
            answers.push(read(request.send().await.expect("an answer")).await);
        }
        answers
    }

    /// A metric by its name and labels, as the page writes them; none when it is not there. Of several gateways, the sum.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let mut sum = None;
        for (status, page) in self.get_each("/metrics", &self.admin_key).await {
            assert_eq!(status, 200, "{page}");
            let page = page.as_str().expect("a page of text");
            let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok());
            sum = value.map(|value| value + sum.unwrap_or(0.0)).or(sum);
        }
        sum
    }

    /// Waits until a metric is as wanted.
    pub async fn until_metric(&self, name: &str, wanted: impl Fn(f64) -> bool) {
        let started = Instant::now();
        loop {
            let seen = self.metric(name).await;
            if seen.is_some_and(&wanted) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{name} stays at {seen:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The usage records in the database, newest first, once there are `count` of them.
    pub async fn records(&self, count: usize) -> Vec<Value> {
        let started = Instant::now();
        loop {
            let (status, page) = self.get("/v1/admin/records?limit=1000", &self.admin_key).await;
            assert_eq!(status, 200, "{page}");
            let records = page["data"].as_array().expect("a list").clone();
            if records.len() >= count || started.elapsed() > PATIENCE {
                assert_eq!(records.len(), count, "{records:#?}");
                return records;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The smallest chat.
pub fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Bonjour"}]})
}

/// Status and JSON of a response; a body that is no JSON is a string.
pub async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap_or_default();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
