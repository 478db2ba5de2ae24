//! Limits are changed through the API and the command line: at once, by those who may, and never unnoticed.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::process::binary;

use crate::quotas::stand::in_each_place;
use crate::quotas::stand::{Place, Stand, chat_of};

in_each_place!(
    an_override_is_effective_within_a_second_and_audited,
    managers_share_out_what_their_organization_has,
    guaranteed_shares_hold_and_ceilings_bind,
    nonsense_is_refused_with_its_place,
    the_limit_of_a_member_counts_the_keys_they_made,
    the_command_line_changes_a_running_gateway,
    plans_of_a_reloaded_file_apply_at_once,
);

const PLAN: &str = "{organization: [{requests: 1000/day, tokens: 100k/day}], project: [{requests: 500/day}]}";

async fn an_override_is_effective_within_a_second_and_audited(place: Place) {
    let stand = Stand::new(place, "{organization: [{requests: 1/day}]}").await;
    let key = stand.key("Culture", "internal").await;
    assert_eq!(stand.chat(&key, "fake/plain").await.0, 200);
    assert_eq!(stand.chat(&key, "fake/plain").await.0, 429);
    let path = format!("organizations/{}", key.organization_id);
    let page = stand.set(&path, &json!({"limits": [{"limit": "requests/day", "value": 2}]})).await;
    assert_eq!(page["limits"][0]["max"], 2, "{page}");
    assert_eq!(page["limits"][0]["used"], 1, "what was used stays used: {page}");
    assert_eq!(page["limits"][0]["source"], "override", "{page}");
    // Effective as soon as the answer is there; on other replicas, as soon as they agree, within five seconds.
    assert_eq!(stand.chat(&key, "fake/plain").await.0, 200);
    assert_eq!(stand.chat(&key, "fake/plain").await.0, 429);
    // Null lifts; DELETE gives back the plan's.
    stand.set(&path, &json!({"limits": [{"limit": "requests/day", "value": null}]})).await;
    assert_eq!(stand.chat(&key, "fake/plain").await.0, 200);
    let page = stand.unset(&path).await;
    assert_eq!(page["limits"][0]["max"], 1, "{page}");
    assert_eq!(stand.chat(&key, "fake/plain").await.0, 429);

    let (_, audit) = stand.get("/v1/admin/audit", &stand.admin_key).await;
    let changes: Vec<&Value> =
        audit["data"].as_array().expect("a list").iter().filter(|entry| entry["action"] == "limits.update").collect();
    assert_eq!(changes.len(), 3, "{audit:#}");
    let first = changes[2];
    assert_eq!(first["object"], format!("organization:{}", key.organization_id));
    assert_eq!(first["before"], json!({"limits": []}));
    assert_eq!(first["after"], json!({"limits": [{"models": "*", "limit": "requests/day", "value": 2}]}));
    assert!(first["actor_member"].is_i64() && first["via"] == "api", "{first}");
}

async fn managers_share_out_what_their_organization_has(place: Place) {
    let stand = Stand::new(place, PLAN).await;
    let key = stand.key("Culture", "internal").await;
    let other = stand.key("Intérieur", "internal").await;
    let (_, manager) = stand.member(key.organization_id, "manager").await;
    let (_, auditor) = stand.member(key.organization_id, "auditor").await;
    let form = json!({"limits": [{"limit": "requests/day", "value": 1}]});
    let organization = format!("/v1/admin/organizations/{}/limits", key.organization_id);
    let project = format!("/v1/admin/projects/{}/limits", key.project_id);
    // The organization's own limits are seen, not set.
    assert_eq!(stand.get(&organization, &manager).await.0, 200);
    assert_eq!(stand.put(&organization, &manager, &form).await.0, 403);
    assert_eq!(stand.delete(&organization, &manager).await.0, 403);
    // Its projects and keys are the manager's to limit, up to what the organization has.
    let (status, page) = stand.put(&project, &manager, &form).await;
    assert_eq!(status, 200, "{page}");
    let above = json!({"limits": [{"limit": "requests/day", "value": 1001}]});
    let (status, answer) = stand.put(&project, &manager, &above).await;
    assert_eq!((status, &answer["error"]["param"]), (400, &json!("limits[0].value")), "{answer}");
    assert!(
        answer["detail"].as_str().is_some_and(|words| words.contains("1001") && words.contains("1000")),
        "{answer}"
    );
    // What the organization may use of all models is what it may use of one.
    let of_one = json!({"limits": [
        {"limit": "requests/day", "models": "fake/plain", "value": 1000},
        {"limit": "tokens/day", "models": "fake/plain", "value": 100_001},
    ]});
    let (status, answer) = stand.put(&project, &manager, &of_one).await;
    assert_eq!((status, &answer["error"]["param"]), (400, &json!("limits[1].value")), "{answer}");
    assert_eq!(stand.put(&format!("/v1/admin/keys/{}/limits", key.id), &manager, &form).await.0, 200);
    assert_eq!(stand.chat(&key, "fake/plain").await.0, 200);
    assert_eq!(stand.chat(&key, "fake/plain").await.0, 429);
    // An auditor reads and changes nothing; the neighbour's are not there at all.
    assert_eq!(stand.get(&project, &auditor).await.0, 200);
    assert_eq!(stand.put(&project, &auditor, &form).await.0, 403);
    for path in [
        format!("/v1/admin/organizations/{}/limits", other.organization_id),
        format!("/v1/admin/projects/{}/limits", other.project_id),
        format!("/v1/admin/keys/{}/limits", other.id),
    ] {
        assert_eq!(stand.get(&path, &manager).await.0, 404, "{path}");
        assert_eq!(stand.put(&path, &manager, &form).await.0, 404, "{path}");
    }
    // A project's key changes nothing.
    assert_ne!(stand.put(&project, &key.secret, &form).await.0, 200);
}

async fn guaranteed_shares_hold_and_ceilings_bind(place: Place) {
    let stand = Stand::new(place, "{organization: [{requests: 10/day}]}").await;
    let one = stand.key("Culture", "internal").await;
    let two = stand.project_key(one.organization_id, "deux", "internal").await;
    stand.set(&format!("projects/{}", two.project_id), &json!({"guaranteed_percent": 30})).await;
    stand.set(&format!("projects/{}", one.project_id), &json!({"ceiling_percent": 90})).await;
    let mut passed = 0;
    while stand.chat(&one, "fake/plain").await.0 == 200 {
        passed += 1;
    }
    assert_eq!(passed, 7, "three are kept for the other project");
    for _ in 0..3 {
        assert_eq!(stand.chat(&two, "fake/plain").await.0, 200);
    }
    assert_eq!(stand.chat(&two, "fake/plain").await.0, 429);
    let ceiling = stand.state(&one, "project", "requests/day").await;
    assert_eq!((&ceiling["max"], &ceiling["source"]), (&json!(9), &json!("ceiling")), "{ceiling}");
    // Together, no more than all there is.
    let path = format!("/v1/admin/projects/{}/limits", one.project_id);
    let (status, answer) = stand.put(&path, &stand.admin_key, &json!({"guaranteed_percent": 71})).await;
    assert_eq!((status, &answer["error"]["param"]), (400, &json!("guaranteed_percent")), "{answer}");
}

async fn nonsense_is_refused_with_its_place(place: Place) {
    let stand = Stand::new(place, PLAN).await;
    let key = stand.key("Culture", "internal").await;
    let organization = format!("/v1/admin/organizations/{}/limits", key.organization_id);
    let project = format!("/v1/admin/projects/{}/limits", key.project_id);
    let line = |limit: &str, models: &str, value: Value| json!({"limits": [{"limit": limit, "models": models, "value": value}]});
    let cases = [
        (&organization, json!({"plan": "gold"}), "plan"),
        (&organization, json!({"guaranteed_percent": 5}), "guaranteed_percent"),
        (&organization, json!({"weight": 0}), "weight"),
        (&organization, line("tokens/hour", "*", json!(5)), "limits[0].limit"),
        (&organization, line("tokenz/day", "*", json!(5)), "limits[0].limit"),
        (&organization, line("tokens/day", "gpt-9", json!(5)), "limits[0].models"),
        (&organization, line("tokens/day", "*", json!(-5)), "limits[0].value"),
        (&organization, line("tokens/day", "*", json!("lots")), "limits[0].value"),
        (&organization, line("tokens/day", "*", json!(0)), "limits[0].value"),
        (&organization, line("tokens/day", "*", json!(2e18)), "limits[0].value"),
        (&organization, json!({"limits": [{"limit": "tokens/day"}]}), "limits[0]"),
        (&organization, json!({"limitz": []}), "limitz"),
        (&project, json!({"plan": "p"}), "plan"),
        (&project, json!({"guaranteed_percent": 101}), "guaranteed_percent"),
        (&project, json!({"guaranteed_percent": 50, "ceiling_percent": 40}), "guaranteed_percent"),
    ];
    for (path, form, param) in cases {
        let (status, answer) = stand.put(path, &stand.admin_key, &form).await;
        assert_eq!(status, 400, "{form}: {answer}");
        let said = answer["error"]["param"].as_str().unwrap_or_default();
        assert!(said.starts_with(param), "{form}: {answer}");
    }
    let twice = json!({"limits": [{"limit": "tokens/day", "value": 5}, {"limit": "tokens/day", "value": 6}]});
    assert_eq!(stand.put(&organization, &stand.admin_key, &twice).await.0, 400);
    let (_, page) = stand.get(&organization, &stand.admin_key).await;
    assert_eq!(page["set"], json!({"limits": []}), "nothing was taken: {page}");
}

async fn the_limit_of_a_member_counts_the_keys_they_made(place: Place) {
    let stand = Stand::new(place, "{member: [{requests: 2/day}]}").await;
    let key = stand.key("Culture", "internal").await;
    let (id, manager) = stand.member(key.organization_id, "manager").await;
    let mut keys = Vec::new();
    for _ in 0..2 {
        let form = json!({"project_id": key.project_id, "name": "la mienne"});
        let (status, made) = stand.post("/v1/admin/keys", &manager, &form).await;
        assert_eq!(status, 201, "{made}");
        keys.push(tests::Key { secret: made["key"].as_str().expect("a key").to_owned(), ..key.clone() });
    }
    assert_eq!(stand.chat(&keys[0], "fake/plain").await.0, 200);
    assert_eq!(stand.chat(&keys[1], "fake/plain").await.0, 200);
    let (status, answer) = stand.chat(&keys[0], "fake/plain").await;
    assert_eq!(status, 429, "{answer}");
    // The key of somebody else in the same project goes on.
    assert_eq!(stand.chat(&key, "fake/plain").await.0, 200);
    stand.set(&format!("members/{id}"), &json!({"limits": [{"limit": "requests/day", "value": 3}]})).await;
    assert_eq!(stand.chat(&keys[1], "fake/plain").await.0, 200);
}

/// Runs the command line on the configuration of a gateway.
fn guichet(stand: &Stand, arguments: &[&str]) -> (bool, String) {
    let file = stand.folder.path().join("guichet.yaml");
    let output = Command::new(binary()).args(arguments).arg("--config").arg(file).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

async fn the_command_line_changes_a_running_gateway(place: Place) {
    let gold = "  gold: {weight: 3, organization: [{requests: 7/day}]}\n";
    let stand = Stand::with(place, PLAN, "", gold).await;
    let key = stand.key("Culture", "internal").await;
    let until = async |max: u64| {
        let started = Instant::now();
        loop {
            let states = stand.get_each("/v1/me", &key.secret).await;
            let of = |me: &Value| {
                let lines = me["limits"].as_array().expect("limits");
                lines.iter().find(|line| line["limit"] == "requests/day").expect("the limit")["max"].clone()
            };
            if states.iter().all(|(_, me)| of(me) == max) {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(5), "{max} wanted: {states:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (done, said) = guichet(&stand, &["limit", "set", "requests/day", "5", "--organization", "Culture"]);
    assert!(done, "{said}");
    until(5).await;
    let (done, said) = guichet(&stand, &["limit", "unset", "requests/day", "--organization", "Culture"]);
    assert!(done, "{said}");
    until(1_000).await;
    let (done, said) = guichet(&stand, &["organization", "plan", "Culture", "gold"]);
    assert!(done, "{said}");
    until(7).await;
    let (done, said) = guichet(&stand, &["limit", "show", "--organization", "Culture"]);
    assert!(done && said.contains("plan: gold") && said.contains("requests/day"), "{said}");
    let share = [
        "limit",
        "share",
        "--guaranteed",
        "20",
        "--ceiling",
        "50",
        "--organization",
        "Culture",
        "--project",
        "produit",
    ];
    let (done, said) = guichet(&stand, &share);
    assert!(done, "{said}");
    // What makes no sense says why.
    for (wrong, word) in [
        (&["limit", "set", "requests/day", "-5", "--organization", "Culture"][..], "negative"),
        (&["limit", "set", "requests/day", "lots", "--organization", "Culture"], "whole number"),
        (&["limit", "set", "requests/hour", "5", "--organization", "Culture"], "not a limit"),
        (&["limit", "set", "requests/day", "8", "--organization", "Culture", "--project", "produit"], "above"),
        (&["limit", "set", "requests/day", "5", "--models", "gpt-9", "--organization", "Culture"], "gpt-9"),
        (&["limit", "show", "--organization", "Nulle part"], "no organization"),
        (&["organization", "plan", "Culture", "silver"], "gold"),
    ] {
        let (done, said) = guichet(&stand, wrong);
        assert!(!done && said.contains(word), "{wrong:?}: {said}");
    }
    let (_, audit) = stand.get("/v1/admin/audit", &stand.admin_key).await;
    let by_cli = audit["data"].as_array().expect("a list").iter().filter(|entry| entry["via"] == "cli").count();
    assert_eq!(by_cli, 4, "{audit:#}");
}

async fn plans_of_a_reloaded_file_apply_at_once(place: Place) {
    let stand = Stand::new(place, "{organization: [{output: 100/minute}]}").await;
    let key = stand.key("Culture", "internal").await;
    assert_eq!(stand.ask(&key, &chat_of("fake/plain", 200)).await.status(), 429);
    stand.rewrite("output: 100/minute", "output: 300/minute").await;
    assert_eq!(stand.ask(&key, &chat_of("fake/plain", 200)).await.status(), 200);
}
