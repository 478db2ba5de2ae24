//! What these tests stand on: a gateway with plans, its database and where it counts.

use std::ops::Deref;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tests::app::PATIENCE;
use tests::{Backend, FakeEngine, Gateway, Key, Redis, TestApp, model, read};

/// Makes of one behaviour, a function over a place, one test for each place.
macro_rules! in_each_place {
    ($($behaviour:ident),* $(,)?) => {
        mod in_process {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() { super::$behaviour($crate::quotas::stand::Place::InProcess).await; })*
        }
        mod in_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() { super::$behaviour($crate::quotas::stand::Place::Redis).await; })*
        }
        mod in_two_processes {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() { super::$behaviour($crate::quotas::stand::Place::TwoProcesses).await; })*
        }
    };
}
pub(crate) use in_each_place;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// SQLite, limits in the process.
    InProcess,
    /// PostgreSQL, limits in Redis.
    Redis,
    /// Two processes of the real binary on one PostgreSQL and one Redis, asked in turn.
    TwoProcesses,
}

/// How long a change takes to reach other replicas, at most.
const REPLICAS: Duration = Duration::from_secs(5);

/// A gateway with limits, or two as one.
pub struct Stand {
    gateway: Gateway,
    pub engine: FakeEngine,
    pub redis: Option<Redis>,
    text: String,
}

impl Deref for Stand {
    type Target = TestApp;

    fn deref(&self) -> &TestApp {
        &self.gateway
    }
}

/// The models of these tests, on one engine; `fake/slow` and the like behave as they are scripted.
pub fn models(engine: &FakeEngine) -> String {
    let names = ["fake/plain", "fake/slow", "fake/400", "fake/500", "fake/never", "fake/endless", "fake/no-usage"];
    let lines: String = names.iter().map(|name| model(name, "chat", &engine.url(), "")).collect();
    let short = format!(
        "  - {{id: court, type: chat, context_length: 400, deployments: [{{name: court-d, url: '{}', engine: openai, \
         engine_model: fake/slow, hosting: state}}]}}\n",
        engine.url()
    );
    format!("models:\n{lines}{}{short}", model("fake/embeddings", "embeddings", &engine.url(), ""))
}

/// Where limits are counted, and the default plan `p`.
pub fn limits(redis: Option<&Redis>, more: &str) -> String {
    let store = redis.map_or("memory".to_owned(), |redis| format!("{{redis: '{}'}}", redis.url));
    format!("limits: {{store: {store}, default_plan: p{more}}}\n")
}

impl Stand {
    /// A gateway whose default plan is this, in YAML's flow style: `{organization: [{requests: 2/minute}]}`.
    pub async fn new(place: Place, plan: &str) -> Stand {
        Stand::with(place, plan, "", "").await
    }

    /// The same, with more under `limits` and more in the file.
    pub async fn with(place: Place, plan: &str, more_limits: &str, more: &str) -> Stand {
        let engine = FakeEngine::start().await;
        let redis = match place {
            Place::InProcess => None,
            Place::Redis | Place::TwoProcesses => Some(Redis::start().await),
        };
        let text = format!("{}plans:\n  p: {plan}\n{more}{}", limits(redis.as_ref(), more_limits), models(&engine));
        let gateway = match place {
            Place::InProcess => Gateway::here(Backend::Sqlite, &text).await,
            Place::Redis => Gateway::here(Backend::Postgres, &text).await,
            Place::TwoProcesses => Gateway::two(&text).await,
        };
        Stand { gateway, engine, redis, text }
    }

    /// The same, stopped in good order and started again.
    pub async fn restarted(self) -> Stand {
        Stand { gateway: self.gateway.restarted(&self.text).await, ..self }
    }

    /// Writes another text in place of one of the configuration, and waits until it is taken everywhere.
    pub async fn rewrite(&self, from: &str, to: &str) {
        for folder in self.gateway.folders() {
            let file = folder.join("guichet.yaml");
            let text = std::fs::read_to_string(&file).expect("the configuration");
            assert!(text.contains(from), "{from} in {text}");
            std::fs::write(&file, text.replace(from, to)).expect("it is written");
        }
        let each = self.replicas().count() as f64;
        self.until_metric("guichet_configuration_reloads_total{result=\"taken\"}", |count| count >= each).await;
    }

    /// Waits until all replicas say the same of what one holder may use.
    async fn until_agreed(&self, path: &str) {
        let started = Instant::now();
        let rules = |page: &Value| {
            let lines = page["limits"].as_array().expect("limits").iter();
            let rule =
                |line: &Value| format!("{} {} {} {}", line["models"], line["limit"], line["max"], line["source"]);
            (page["plan"].clone(), page["set"].clone(), lines.map(rule).collect::<Vec<_>>())
        };
        loop {
            let pages = self.get_each(path, &self.admin_key).await;
            if pages.windows(2).all(|two| rules(&two[0].1) == rules(&two[1].1)) {
                return;
            }
            assert!(started.elapsed() < REPLICAS, "{pages:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A chat, with the whole response.
    pub async fn ask(&self, key: &Key, body: &Value) -> reqwest::Response {
        self.send("/v1/chat/completions", &key.secret, body).await
    }

    /// Changes something; limits, until they are effective on all replicas.
    pub async fn put(&self, path: &str, key: &str, body: &Value) -> (u16, Value) {
        let answer = read(self.request(Method::PUT, path, key).json(body).send().await.expect("an answer")).await;
        if answer.0 == 200 && path.ends_with("/limits") {
            self.until_agreed(path).await;
        }
        answer
    }

    /// Back to the plan.
    pub async fn unset(&self, holder: &str) -> Value {
        let path = format!("/v1/admin/{holder}/limits");
        let (status, page) = self.delete(&path, &self.admin_key).await;
        assert_eq!(status, 200, "{page}");
        self.until_agreed(&path).await;
        page
    }

    /// Sets what one holder may use: `organizations/1`.
    pub async fn set(&self, holder: &str, body: &Value) -> Value {
        let (status, page) = self.put(&format!("/v1/admin/{holder}/limits"), &self.admin_key, body).await;
        assert_eq!(status, 200, "{page}");
        page
    }

    /// A member with a role on an organization, and their key.
    pub async fn member(&self, organization: i64, role: &str) -> (i64, String) {
        let form = json!({"email": format!("{role}-{organization}@example.org"), "name": role, "organization_id": organization});
        let (status, made) = self.post("/v1/admin/members", &self.admin_key, &form).await;
        assert_eq!(status, 201, "{made}");
        let id = made["id"].as_i64().expect("an id");
        let grant = json!({"role": role, "organization_id": organization});
        let (status, granted) = self.post(&format!("/v1/admin/members/{id}/grants"), &self.admin_key, &grant).await;
        assert!(status < 300, "{granted}");
        let (status, key) = self.post("/v1/admin/keys", &self.admin_key, &json!({"member_id": id})).await;
        assert_eq!(status, 201, "{key}");
        (id, key["key"].as_str().expect("a key").to_owned())
    }

    /// The line of `/v1/me` of one limit.
    pub async fn state(&self, key: &Key, scope: &str, limit: &str) -> Value {
        let (status, me) = self.get("/v1/me", &key.secret).await;
        assert_eq!(status, 200, "{me}");
        let lines = me["limits"].as_array().expect("limits");
        let found = lines
            .iter()
            .find(|line| line["scope"].as_str().is_some_and(|text| text.starts_with(scope)) && line["limit"] == *limit);
        found.unwrap_or_else(|| panic!("{scope} {limit} in {me:#}")).clone()
    }

    /// Waits until a limit has so much used.
    pub async fn until_used(&self, key: &Key, scope: &str, limit: &str, wanted: u64) {
        let started = Instant::now();
        loop {
            let state = self.state(key, scope, limit).await;
            if state["used"].as_u64() == Some(wanted) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{scope} {limit}: {wanted} wanted, {state}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A chat that may write so many tokens.
pub fn chat_of(model: &str, max_tokens: u64) -> Value {
    json!({"model": model, "max_tokens": max_tokens, "messages": [{"role": "user", "content": "Bonjour"}]})
}

/// A header as text; empty when it is not there.
pub fn header(response: &reqwest::Response, name: &str) -> String {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}
