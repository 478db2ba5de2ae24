//! Human evidence at its boundary, on both databases: [`grids`] over HTTP; a [`whole`] campaign by annotators whose biases are
//! known; [`turns`] (races, locks, answers given twice); what annotators must not know ([`blind`]); [`pairs`] and rankings;
//! [`sheets`] to and fro; what [`goes`]; who may do what ([`rights`]); the page of documentation ([`page`]).

#![expect(clippy::expect_used, clippy::panic, reason = "in tests, a panic is how a failure is told")]

mod blind;
mod goes;
mod grids;
mod page;
mod pairs;
mod rights;
mod sheets;
mod turns;
mod whole;

use serde_json::{Value, json};
use tests::process::{Said, command, said};
use tests::{Backend, FakeEngine, Key, TestApp};

use crate::records::{ON, consent, evaluator, gateway, member};

/// A gateway that evaluates, an organization whose project agreed, an evaluator of it and one of the instance.
struct Stand {
    app: TestApp,
    /// Answers as long as the stand is there.
    _engine: FakeEngine,
    key: Key,
    evaluator: String,
    instance: String,
}

async fn stand(backend: Backend) -> Stand {
    let (app, engine) = gateway(backend, ON).await;
    let key = app.key("A", "internal").await;
    consent(&app, &key).await;
    let grant = json!({"role": "evaluator", "organization_id": key.organization_id});
    let evaluator_of_a = member(&app, Some(key.organization_id), &[grant]).await;
    let instance = evaluator(&app).await;
    Stand { app, _engine: engine, key, evaluator: evaluator_of_a, instance }
}

impl Stand {
    /// A campaign made by the evaluator of A.
    async fn campaign(&self, form: &Value) -> Value {
        let (status, made) = self.app.post("/v1/eval/campaigns", &self.evaluator, form).await;
        assert_eq!(status, 201, "{made:#}");
        made
    }

    /// Members of A without a role, who annotate when they are named: number, address and key of each.
    async fn annotators(&self, count: usize) -> Vec<(i64, String, String)> {
        let mut annotators = Vec::new();
        for _ in 0..count {
            let key = member(&self.app, Some(self.key.organization_id), &[]).await;
            let (_, me) = self.app.get("/v1/me", &key).await;
            let email = me["email"].as_str().expect("an address").to_owned();
            annotators.push((me["member_id"].as_i64().expect("a number"), email, key));
        }
        annotators
    }

    async fn next(&self, campaign: &Value, key: &str) -> Option<Value> {
        let (status, item) = self.app.get(&format!("/v1/eval/campaigns/{}/next", campaign["id"]), key).await;
        match status {
            204 => None,
            200 => Some(item),
            _ => panic!("{status} {item}"),
        }
    }

    async fn answer(&self, campaign: &Value, key: &str, form: &Value) -> (u16, Value) {
        self.app.post(&format!("/v1/eval/campaigns/{}/annotations", campaign["id"]), key, form).await
    }

    /// Annotates all there is, and tells the items in the order given.
    async fn annotate(&self, campaign: &Value, key: &str, say: impl Fn(&Value) -> Value) -> Vec<Value> {
        let mut seen = Vec::new();
        while let Some(item) = self.next(campaign, key).await {
            let mut form = say(&item);
            form["item"] = item["item"].clone();
            let (status, taken) = self.answer(campaign, key, &form).await;
            assert_eq!(status, 201, "{taken}");
            seen.push(item);
        }
        seen
    }

    /// What a route of the campaign answers its evaluator.
    async fn get(&self, campaign: &Value, what: &str) -> Value {
        let (status, got) =
            self.app.get(&format!("/v1/eval/campaigns/{}{what}", campaign["id"]), &self.evaluator).await;
        assert_eq!(status, 200, "{what}: {got:#}");
        got
    }

    /// Runs `guichet …` on the gateway's own database.
    fn guichet(&self, words: &[&str]) -> Said {
        said(command(self.app.folder.path()).args(words).env("GUICHET_CONFIG", "guichet.yaml"))
    }
}

/// Rows to annotate: one question and one answer each.
fn rows(count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| json!({"prompt": format!("Question {n} ?"), "answers": [{"text": format!("Réponse {n}.")}]}))
        .collect()
}

/// Numbers of members.
fn numbers(annotators: &[(i64, String, String)]) -> Vec<i64> {
    annotators.iter().map(|(number, _, _)| *number).collect()
}
