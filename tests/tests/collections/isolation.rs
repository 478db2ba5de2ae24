//! Nothing ever crosses: random organizations, projects, visibilities, moves and deletes, held against a model that fits
//! on a page. The model is written from the rules as `docs/collections.md` tells them, not from the code.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tests::{Backend, Key, on_each_database};

use crate::collections::stand::{Stand, encoded, ids, made, member};

on_each_database!(nothing_ever_crosses);

/// A collection, as the model knows it.
#[derive(Clone, Debug)]
struct Known {
    organization: i64,
    project: i64,
    visibility: &'static str,
    /// Documents, each with its chunks.
    documents: BTreeMap<i64, Vec<i64>>,
}

/// Someone who asks.
enum Caller {
    Project(Key),
    Manager { organization: i64, secret: String },
}

impl Caller {
    fn secret(&self) -> &str {
        match self {
            Caller::Project(key) => &key.secret,
            Caller::Manager { secret, .. } => secret,
        }
    }

    fn reads(&self, one: &Known) -> bool {
        match self {
            Caller::Project(key) => {
                one.project == key.project_id
                    || one.visibility == "public"
                    || (one.visibility == "shared" && one.organization == key.organization_id)
            }
            Caller::Manager { organization, .. } => one.organization == *organization || one.visibility == "public",
        }
    }

    fn changes(&self, one: &Known) -> bool {
        match self {
            Caller::Project(key) => one.project == key.project_id,
            Caller::Manager { organization, .. } => one.organization == *organization,
        }
    }
}

struct World<'a> {
    stand: &'a Stand,
    callers: Vec<Caller>,
    projects: Vec<Key>,
    known: BTreeMap<i64, Known>,
    random: fastrand::Rng,
}

/// What a refusal must be: it says that the thing is there only to who may read it.
fn refused(reads: bool) -> u16 {
    if reads { 403 } else { 404 }
}

impl World<'_> {
    async fn step(&mut self) {
        let app = &self.stand.app;
        let caller = &self.callers[self.random.usize(..self.callers.len())];
        let ids: Vec<i64> = self.known.keys().copied().collect();
        let choice = self.random.u8(..10);
        let Some(id) = (!ids.is_empty()).then(|| ids[self.random.usize(..ids.len())]).filter(|_| choice > 2) else {
            let project = &self.projects[self.random.usize(..self.projects.len())];
            let visibility = *self.random.choice(&["private", "private", "shared"]).expect("one");
            let form = json!({"name": "fonds", "visibility": visibility});
            let id = made(app.post("/v1/collections", &project.secret, &form).await);
            let (organization, project) = (project.organization_id, project.project_id);
            self.known.insert(id, Known { organization, project, visibility, documents: BTreeMap::new() });
            return;
        };
        let one = self.known.get_mut(&id).expect("it is known");
        let (reads, changes) = (caller.reads(one), caller.changes(one));
        let manages = changes && matches!(caller, Caller::Manager { .. });
        let path = format!("/v1/collections/{id}");
        let wanted = |allowed: bool, done: u16| if allowed { done } else { refused(reads) };
        match choice {
            3 | 4 => {
                let visibility = *self.random.choice(&["private", "shared", "public"]).expect("one");
                let opens = visibility == "public" && one.visibility != "public";
                let (status, answer) = app.patch(&path, caller.secret(), &json!({"visibility": visibility})).await;
                assert_eq!(status, wanted(changes && (!opens || manages), 200), "{answer}");
                if status == 200 {
                    one.visibility = visibility;
                }
            }
            5 => {
                let to = &self.projects[self.random.usize(..self.projects.len())];
                let (status, answer) = app.patch(&path, caller.secret(), &json!({"project_id": to.project_id})).await;
                let allowed = manages || (changes && to.project_id == one.project);
                let there = to.organization_id == one.organization;
                assert_eq!(status, if allowed && !there { 404 } else { wanted(allowed, 200) }, "{answer}");
                if status == 200 {
                    one.project = to.project_id;
                }
            }
            6 => {
                let (status, answer) = app.delete(&path, caller.secret()).await;
                assert_eq!(status, wanted(changes, 204), "{answer}");
                if status == 204 {
                    self.known.remove(&id);
                }
            }
            7 | 8 => {
                let into = id.to_string();
                let fields = [("collection_id", into.as_str()), ("name", "note")];
                let (status, answer) = encoded(app, caller.secret(), &fields).await;
                assert_eq!(status, wanted(changes, 201), "{answer}");
                if status == 201 {
                    let document = answer["id"].as_i64().expect("an id");
                    let chunks = json!([{"content": format!("Passage de {id}.")}]);
                    let path = format!("/v1/documents/{document}/chunks");
                    let (status, added) = app.post(&path, caller.secret(), &chunks).await;
                    // A member's key calls no model: its chunks are embedded on behalf of the project.
                    assert_eq!(status, 201, "{added}");
                    one.documents.insert(document, vec![added["ids"][0].as_i64().expect("an id")]);
                }
            }
            _ => {
                let Some(document) = one.documents.keys().next().copied() else { return };
                let (status, answer) = app.delete(&format!("/v1/documents/{document}"), caller.secret()).await;
                assert_eq!(status, wanted(changes, 204), "{answer}");
                if status == 204 {
                    one.documents.remove(&document);
                }
            }
        }
    }

    /// What each caller is shown, by list and by id, is what the model says.
    async fn check(&mut self) {
        let app = &self.stand.app;
        let highest = self.known.values().flat_map(|one| one.documents.keys()).max().copied().unwrap_or(0);
        for caller in &self.callers {
            let seen: BTreeMap<i64, &Known> =
                self.known.iter().filter(|(_, one)| caller.reads(one)).map(|(id, one)| (*id, one)).collect();
            let (_, list) = app.get("/v1/collections?limit=1000", caller.secret()).await;
            assert_eq!(BTreeSet::from_iter(ids(&list)), seen.keys().copied().collect(), "{list}");
            assert_eq!(list["total"].as_u64(), Some(seen.len() as u64));
            let documents: BTreeMap<i64, &Vec<i64>> =
                seen.values().flat_map(|one| &one.documents).map(|(id, chunks)| (*id, chunks)).collect();
            let (_, list) = app.get("/v1/documents?limit=1000", caller.secret()).await;
            assert_eq!(BTreeSet::from_iter(ids(&list)), documents.keys().copied().collect(), "{list}");
            for _ in 0..4 {
                let id = self.random.i64(1..=highest.max(1));
                let (status, answer) = app.get(&format!("/v1/documents/{id}/chunks"), caller.secret()).await;
                match documents.get(&id) {
                    Some(chunks) => assert_eq!((status, &ids(&answer)), (200, *chunks), "{answer}"),
                    None => assert_eq!(status, 404, "{answer}"),
                }
            }
            if let Caller::Project(_) = caller {
                self.search(caller, &seen).await;
            }
        }
    }

    /// A search in all that a project reads finds its chunks and no other; one collection that it does not read makes the
    /// whole search a 404.
    async fn search(&self, caller: &Caller, seen: &BTreeMap<i64, &Known>) {
        let ask = async |collections: &[i64]| -> (u16, Value) {
            let body = json!({"query": "passage", "collection_ids": collections, "method": "lexical", "limit": 100});
            self.stand.app.post("/v1/search", caller.secret(), &body).await
        };
        let all: Vec<i64> = seen.keys().copied().collect();
        let wanted: BTreeSet<i64> = seen.values().flat_map(|one| one.documents.values().flatten().copied()).collect();
        if !all.is_empty() {
            let (status, answer) = ask(&all).await;
            assert_eq!(status, 200, "{answer}");
            let found = answer["data"].as_array().expect("a list").iter();
            let found: BTreeSet<i64> = found.filter_map(|hit| hit["chunk"]["id"].as_i64()).collect();
            assert_eq!(found, wanted, "{answer}");
        }
        if let Some(hidden) = self.known.keys().find(|id| !seen.contains_key(id)) {
            let (status, answer) = ask(&[all, vec![*hidden]].concat()).await;
            assert_eq!(status, 404, "{answer}");
        }
    }
}

async fn nothing_ever_crosses(backend: Backend) {
    let stand = Stand::start(backend).await;
    let app = &stand.app;
    let mut callers = Vec::new();
    let mut projects =
        vec![stand.key.clone(), app.key("Ministère B", "internal").await, app.key("Agence C", "internal").await];
    for home in projects.clone() {
        let organization = home.organization_id;
        projects.push(app.project_key(organization, "second produit", "internal").await);
        let grant = json!({"role": "manager", "organization_id": organization});
        let secret = member(app, &format!("m{organization}@a.fr"), organization, grant).await;
        callers.push(Caller::Manager { organization, secret });
    }
    callers.extend(projects.iter().cloned().map(Caller::Project));
    let seed = std::env::var("GUICHET_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_125);
    let random = fastrand::Rng::with_seed(seed);
    let mut world = World { stand: &stand, callers, projects, known: BTreeMap::new(), random };
    for nth in 0..160 {
        world.step().await;
        if nth % 8 == 7 {
            world.check().await;
        }
    }
    assert!(world.known.len() > 5, "the test itself: {:?}", world.known);
}
