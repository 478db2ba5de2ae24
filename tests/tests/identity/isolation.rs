//! Organizations know nothing of each other: in lists however they are asked, and by any id.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Backend, FakeEngine, TestApp, on_each_database, read};

use crate::identity::{ids, key, member, one_model, organization, project};

on_each_database!(a_manager_sees_nothing_of_another_organization);

/// An organization with a bit of everything, and the ids of what is in it.
struct Side {
    organization: i64,
    projects: BTreeSet<i64>,
    members: BTreeSet<i64>,
    keys: BTreeSet<i64>,
    manager: String,
    name: String,
}

async fn side(app: &TestApp, name: &str) -> Side {
    let organization = organization(app, name).await;
    let (mut projects, mut members) = (BTreeSet::new(), BTreeSet::new());
    for count in 0..3 {
        let id = project(app, organization, &format!("produit {count}")).await;
        projects.insert(id);
        let (_, secret) = key(app, json!({"project_id": id, "name": "production"})).await;
        let (status, answer) = app.post("/v1/chat/completions", &secret, &tests::chat("fake/plain")).await;
        assert_eq!(status, 200, "{answer}");
        members.insert(member(app, &format!("m{count}@{name}.fr"), Some(organization), None).await);
    }
    let grant = json!({"role": "manager", "organization_id": organization});
    let id = member(app, &format!("manager@{name}.fr"), Some(organization), Some(grant)).await;
    members.insert(id);
    let (_, manager) = key(app, json!({"member_id": id})).await;
    let (_, listed) = app.get(&format!("/v1/admin/keys?organization_id={organization}"), &app.admin_key).await;
    let keys = ids(&listed).into_iter().collect();
    Side { organization, projects, members, keys, manager, name: name.to_owned() }
}

async fn get(app: &TestApp, path: &str, query: &[(&str, String)], secret: &str) -> (u16, Value) {
    read(app.request(Method::GET, path, secret).query(query).send().await.expect("an answer")).await
}

async fn a_manager_sees_nothing_of_another_organization(backend: Backend) {
    let engine = FakeEngine::start().await;
    let app = TestApp::on(backend, &one_model(&engine)).await;
    let (mine, theirs) = (side(&app, "alpha").await, side(&app, "beta").await);
    app.records(6).await;
    for (me, them) in [(&mine, &theirs), (&theirs, &mine)] {
        let only = BTreeSet::from([me.organization]);
        let lists =
            [("organizations", &only), ("projects", &me.projects), ("members", &me.members), ("keys", &me.keys)];
        for (list, own) in lists {
            let path = format!("/v1/admin/{list}");
            let (status, all) = get(&app, &path, &[], &me.manager).await;
            assert_eq!((status, all["total"].as_u64()), (200, Some(own.len() as u64)), "{all}");
            assert_eq!(&BTreeSet::from_iter(ids(&all)), own);
            // However the list is asked for, what it shows is among one's own.
            let mut random = fastrand::Rng::with_seed(7);
            for _ in 0..40 {
                let mut query = vec![
                    ("limit", random.i64(1..=1000).to_string()),
                    ("offset", random.i64(0..4).to_string()),
                    ("order_by", (*random.choice(&["id", "name", "created"]).expect("one")).to_owned()),
                    ("order_direction", (*random.choice(&["asc", "desc"]).expect("one")).to_owned()),
                ];
                if random.bool() {
                    query.push((
                        "organization_id",
                        random.choice([me.organization, them.organization, 0, -1, 99]).expect("one").to_string(),
                    ));
                }
                if random.bool() {
                    let project = them.projects.iter().chain(&me.projects).nth(random.usize(0..6)).expect("one");
                    query.push(("project_id", project.to_string()));
                }
                if random.u8(0..4) == 0 {
                    query.push((
                        "name",
                        random
                            .choice([them.name.as_str(), "produit 1", "m1@beta.fr", "production"])
                            .expect("one")
                            .to_owned(),
                    ));
                }
                let (status, page) = get(&app, &path, &query, &me.manager).await;
                assert_eq!(status, 200, "{query:?}: {page}");
                assert!(ids(&page).iter().all(|id| own.contains(id)), "{list} {query:?}: {page}");
                assert!(page["total"].as_u64() <= Some(own.len() as u64), "{list} {query:?}: {page}");
            }
        }
        // By any id: one's own, or words that do not tell what is another's from what does not exist.
        let (_, absent) = app.get("/v1/admin/projects/999999", &me.manager).await;
        for (list, own) in &lists[..3] {
            for id in -1..40 {
                let (status, answer) = app.get(&format!("/v1/admin/{list}/{id}"), &me.manager).await;
                match own.contains(&id) {
                    true => assert_eq!((status, answer["id"].as_i64()), (200, Some(id)), "{answer}"),
                    false => assert_eq!((status, &answer), (404, &absent), "{list} {id}"),
                }
            }
        }
        for id in &them.keys {
            let (status, answer) = app.delete(&format!("/v1/admin/keys/{id}"), &me.manager).await;
            assert_eq!((status, &answer), (404, &absent));
        }
        // Changes, records and usage: of one's own organization, whatever is asked.
        for path in ["/v1/admin/audit?limit=1000", "/v1/admin/records?limit=1000"] {
            let (status, page) = app.get(path, &me.manager).await;
            let rows = page["data"].as_array().expect("a list");
            assert!(status == 200 && !rows.is_empty(), "{page}");
            assert!(rows.iter().all(|row| row["organization_id"] == me.organization), "{path}: {page}");
        }
        for by in ["organization", "project", "key", "organization,day", "model"] {
            let path = "/v1/admin/usage";
            let (_, usage) = get(&app, path, &[("by", by.to_owned())], &me.manager).await;
            let requests: i64 =
                usage["data"].as_array().expect("a list").iter().filter_map(|b| b["requests"].as_i64()).sum();
            assert_eq!(requests, 3, "{by}: {usage}");
            assert!(!usage.to_string().contains(&them.name), "{usage}");
            let query = [("by", by.to_owned()), ("organization_id", them.organization.to_string())];
            let (_, usage) = get(&app, path, &query, &me.manager).await;
            assert_eq!(usage["data"], json!([]), "{by}: {usage}");
        }
        let (_, records) =
            get(&app, "/v1/admin/records", &[("organization_id", them.organization.to_string())], &me.manager).await;
        assert_eq!(records["data"], json!([]), "{records}");
        // Nothing is made or changed over there.
        for (path, form) in [
            ("/v1/admin/projects".to_owned(), json!({"organization_id": them.organization, "name": "x"})),
            ("/v1/admin/keys".to_owned(), json!({"project_id": them.projects.first()})),
            ("/v1/admin/keys".to_owned(), json!({"member_id": them.members.first()})),
            (
                format!("/v1/admin/members/{}/grants", them.members.first().expect("one")),
                json!({"role": "auditor", "organization_id": them.organization}),
            ),
        ] {
            let (status, answer) = app.post(&path, &me.manager, &form).await;
            assert_eq!((status, &answer), (404, &absent), "{path} {form}");
        }
    }
}
