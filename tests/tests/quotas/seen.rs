//! What callers and managers see: `/v1/me`, usage in buckets, who was refused and why, monthly active users.

use serde_json::{Value, json};
use tests::{Chat, chat, read};

use crate::quotas::stand::in_each_place;
use crate::quotas::stand::{Place, Stand, chat_of};

in_each_place!(
    me_shows_every_limit_and_what_remains,
    usage_is_added_up_by_day_model_endpoint_project_key_and_error,
    active_users_are_counted_where_they_are_named,
    a_product_attests_its_own_count,
);

async fn me_shows_every_limit_and_what_remains(place: Place) {
    let groups = "model_groups: {pair: [fake/plain, fake/slow]}\n";
    let plan = "{organization: [{tokens: [10k/minute, 100k/month]}, {models: pair, requests: 60/minute}], key: [{concurrent: 3}]}";
    let stand = Stand::with(place, plan, "", groups).await;
    let key = stand.key("Culture", "internal").await;
    stand.engine.script(Chat::text("Bonjour").tokens(100, 20));
    assert_eq!(stand.ask(&key, &chat_of("fake/plain", 100)).await.status(), 200);
    stand.until_used(&key, "organization", "tokens/month", 120).await;
    let (_, me) = stand.get("/v1/me", &key.secret).await;
    assert_eq!(me["plan"], "p", "{me}");
    let mut lines: Vec<String> = me["limits"]
        .as_array()
        .expect("limits")
        .iter()
        .map(|l| format!("{} {} {} {}", l["models"].as_str().unwrap_or_default(), l["limit"], l["max"], l["remaining"]))
        .collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "* \"concurrent\" 3 3",
            "* \"tokens/minute\" 10000 9880",
            "* \"tokens/month\" 100000 99880",
            "pair \"requests/minute\" 60 59",
        ],
        "{me:#}"
    );
    let month = stand.state(&key, "organization", "tokens/month").await;
    assert!((1..=31 * 86_400 + 3_600).contains(&month["resets_in"].as_u64().unwrap_or_default()), "{month}");
    // A manager sees the organization's.
    let (_, manager) = stand.member(key.organization_id, "manager").await;
    let (_, me) = stand.get("/v1/me", &manager).await;
    assert_eq!(me["limits"].as_array().map(Vec::len), Some(3), "{me}");
}

/// The buckets of a question.
async fn buckets(stand: &Stand, path: &str, key: &str) -> Vec<Value> {
    let (status, list) = stand.get(path, key).await;
    assert_eq!(status, 200, "{path}: {list}");
    list["data"].as_array().expect("a list").clone()
}

async fn usage_is_added_up_by_day_model_endpoint_project_key_and_error(place: Place) {
    let stand = Stand::new(place, "{key: [{requests: 2/day}]}").await;
    let key = stand.key("Culture", "internal").await;
    let other = stand.project_key(key.organization_id, "autre", "internal").await;
    stand.engine.script_model("fake/plain", Chat::text("Bonjour").tokens(100, 20));
    assert_eq!(stand.chat(&key, "fake/plain").await.0, 200);
    assert_eq!(
        stand.post("/v1/embeddings", &key.secret, &json!({"model": "fake/embeddings", "input": "a"})).await.0,
        200
    );
    for _ in 0..3 {
        assert_eq!(stand.chat(&key, "fake/plain").await.0, 429);
    }
    assert_eq!(stand.chat(&other, "fake/plain").await.0, 200);
    stand.records(6).await;

    let all =
        buckets(&stand, "/v1/admin/usage?by=day,organization,project,key,model,endpoint,error_code", &stand.admin_key)
            .await;
    assert_eq!(all.len(), 4, "{all:#?}");
    let refused = all.iter().find(|bucket| bucket["error_code"] == "quota_exceeded").expect("the refusals");
    assert_eq!(
        (&refused["requests"], &refused["refused"], &refused["total_tokens"]),
        (&json!(3), &json!(3), &json!(0))
    );
    assert_eq!((&refused["key_id"], &refused["project"]), (&json!(key.id), &json!("produit")), "{refused}");
    let chat = all
        .iter()
        .find(|bucket| {
            bucket["key_id"] == key.id && bucket["endpoint"] == "chat.completions" && bucket["error_code"] == ""
        })
        .expect("the chat");
    assert_eq!((&chat["prompt_tokens"], &chat["completion_tokens"]), (&json!(100), &json!(20)), "{chat}");
    assert!(chat["seconds"].is_number() && chat["kWh"].is_number() && chat["kgCO2eq"].is_number(), "{chat}");

    // A project's key sees its project; a manager their organization.
    let mine = buckets(&stand, "/v1/usage?by=project", &key.secret).await;
    assert_eq!((mine.len(), &mine[0]["requests"]), (1, &json!(5)), "{mine:?}");
    assert_eq!(buckets(&stand, "/v1/me/usage?by=project", &key.secret).await, mine);
    let (_, manager) = stand.member(key.organization_id, "manager").await;
    assert_eq!(buckets(&stand, "/v1/admin/usage?by=project", &manager).await.len(), 2);

    let path = "/v1/admin/usage?by=project,error_code&format=csv";
    let (status, csv) = stand.get(path, &manager).await;
    let csv = csv.as_str().expect("a text").to_owned();
    assert_eq!(status, 200);
    let mut lines = csv.lines();
    let columns = lines.next().expect("a head").split(',').count();
    assert!(csv.starts_with("day,organization_id") && csv.contains("quota_exceeded"), "{csv}");
    assert!(lines.all(|line| line.split(',').count() == columns), "{csv}");
    assert_eq!(stand.get("/v1/admin/usage?by=nonsense", &manager).await.0, 400);
}

/// Chats with these end users; an empty one names nobody.
async fn chats(stand: &Stand, key: &tests::Key, users: &[&str]) {
    for user in users {
        let mut body = chat("fake/plain");
        if !user.is_empty() {
            body["user"] = json!(user);
        }
        assert_eq!(stand.ask(key, &body).await.status(), 200);
    }
}

async fn active_users_are_counted_where_they_are_named(place: Place) {
    let stand = Stand::new(place, "{}").await;
    let named = stand.key("Culture", "internal").await;
    let silent = stand.key("Intérieur", "internal").await;
    chats(&stand, &named, &["a", "b", "a", "c", "a", "a", "a", "b", "c", ""]).await;
    chats(&stand, &silent, &["a", "b", "c", "d", "e", "f", "g", "h", "", ""]).await;
    stand.member(named.organization_id, "manager").await;
    stand.records(20).await;
    let (status, list) = stand.get("/v1/admin/users/active", &stand.admin_key).await;
    assert_eq!(status, 200, "{list}");
    let of = |id: i64| {
        let data = list["data"].as_array().expect("a list");
        data.iter().find(|one| one["organization_id"] == id).expect("an organization").clone()
    };
    let one = of(named.organization_id);
    assert_eq!(
        [&one["active_end_users"], &one["measure"], &one["accounts"], &one["identified_share"], &one["requests"]],
        [&json!(3), &json!("mesuré"), &json!(1), &json!(0.9), &json!(10)],
        "{one}"
    );
    let two = of(silent.organization_id);
    assert_eq!(
        [&two["active_end_users"], &two["measure"], &two["identified_share"]],
        [&Value::Null, &json!("non mesurable"), &json!(0.8)],
        "{two}"
    );
    // The same, beside usage over organizations.
    let (_, usage) = stand.get("/v1/admin/usage", &stand.admin_key).await;
    assert!(usage["active_users"].as_array().is_some_and(|list| list.contains(&one)), "{usage}");
    let (_, csv) = stand.get("/v1/admin/users/active?format=csv", &stand.admin_key).await;
    assert!(csv.as_str().is_some_and(|text| text.contains("non mesurable") && text.contains(",3,mesuré,")), "{csv}");
    for wrong in ["2026", "2026-13", "hier"] {
        assert_eq!(stand.get(&format!("/v1/admin/users/active?month={wrong}"), &stand.admin_key).await.0, 400);
    }
    assert_eq!(stand.get("/v1/admin/users/active", &named.secret).await.0, 403);
}

async fn a_product_attests_its_own_count(place: Place) {
    let stand = Stand::new(place, "{}").await;
    let key = stand.key("Culture", "internal").await;
    let (_, manager) = stand.member(key.organization_id, "manager").await;
    let (_, auditor) = stand.member(key.organization_id, "auditor").await;
    let path = format!("/v1/admin/projects/{}/active-users", key.project_id);
    let form = |users: i64| json!({"month": "2026-10", "users": users, "source": "Docs, sessions"});
    assert_eq!(stand.put(&path, &auditor, &form(5)).await.0, 403);
    assert_eq!(stand.put(&path, &manager, &form(-5)).await.0, 400);
    assert_eq!(stand.put(&path, &manager, &json!({"month": "9999-10", "users": 1, "source": "x"})).await.0, 400);
    assert_eq!(stand.put(&path, &manager, &form(1_000)).await.0, 200);
    let (status, made) = stand.put(&path, &manager, &form(1_234)).await;
    assert_eq!((status, &made["users"]), (200, &json!(1_234)), "{made}");
    let (_, list) = stand.get("/v1/admin/users/active?month=2026-10", &manager).await;
    let one = &list["data"][0];
    assert_eq!((&one["measure"], &one["attested"][0]["users"]), (&json!("non mesurable"), &json!(1_234)), "{list}");
    let (_, audit) = stand.get("/v1/admin/audit", &stand.admin_key).await;
    let entry = &audit["data"][0];
    assert_eq!(
        (&entry["action"], &entry["before"]["users"], &entry["after"]["users"]),
        (&json!("users.attest"), &json!(1_000), &json!(1_234)),
        "{entry}"
    );
    let response = stand.request(reqwest::Method::GET, "/v1/admin/users/active?month=2026-10", &manager);
    let (_, csv) = read(response.header("accept", "text/csv").send().await.expect("an answer")).await;
    assert!(csv.as_str().is_some_and(|text| text.contains("1234 (Docs, sessions)")), "{csv}");
}
