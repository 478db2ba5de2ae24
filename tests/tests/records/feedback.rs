//! What applications say of answers.

use serde_json::{Value, json};
use tests::{Backend, on_each_database};

use crate::records::{ON, ask, chat, consent, evaluator, gateway, nothing_leaks};

on_each_database!(the_last_word_of_a_projects_own_request_is_kept);

async fn the_last_word_of_a_projects_own_request_is_kept(backend: Backend) {
    let (app, _engine) = gateway(backend, ON).await;
    let (open, closed) = (app.key("A", "internal").await, app.key("B", "internal").await);
    let evaluator = evaluator(&app).await;
    consent(&app, &open).await;
    // Said at once after the answer, before its record is stored.
    let id = ask(&app, &open, &chat("petit", "Bonjour", false)).await;
    let said = json!({"request_id": id, "score": 0.5, "label": "hors-sujet",
        "comment": "Mme Keroual, écrivez à camille.martin@exemple.fr"});
    let (status, taken) = app.post("/v1/feedback", &open.secret, &said).await;
    assert_eq!((status, &taken["comment_kept"]), (200, &json!(true)), "{taken}");
    assert_eq!(taken["comment"], "Mme [nom], écrivez à [email]");
    let (status, taken) = app.post("/v1/feedback", &open.secret, &json!({"request_id": id, "score": 1})).await;
    assert_eq!((status, &taken["comment"]), (200, &Value::Null), "{taken}");

    let other = ask(&app, &closed, &chat("petit", "Bonjour", false)).await;
    let said = json!({"request_id": other, "score": 0, "comment": "camille.martin@exemple.fr"});
    let (status, taken) = app.post("/v1/feedback", &closed.secret, &said).await;
    assert_eq!((status, &taken["comment_kept"], &taken["score"]), (200, &json!(false), &json!(0.0)), "{taken}");
    nothing_leaks(app.folder.path(), &app.database().url).await;

    // Another project's request is like one that was never made.
    for id in [id.as_str(), "req_0198f2c1d0ab7cc2a1b0c2d3e4f50617", "x"] {
        let (status, refused) = app.post("/v1/feedback", &closed.secret, &json!({"request_id": id, "score": 1})).await;
        assert_eq!((status, &refused["error"]["code"]), (404, &json!("not_found")), "{id}: {refused}");
    }
    for (wrong, param) in [
        (json!({"request_id": id}), "score"),
        (json!({"request_id": id, "score": 1.5}), "score"),
        (json!({"request_id": id, "score": -1}), "score"),
        (json!({"request_id": id, "label": "deux mots"}), "label"),
        (json!({"request_id": id, "label": "0612345678"}), "label"),
        (json!({"request_id": id, "comment": "x".repeat(4_001)}), "comment"),
    ] {
        let (status, refused) = app.post("/v1/feedback", &open.secret, &wrong).await;
        assert_eq!((status, &refused["error"]["param"]), (400, &json!(param)), "{wrong}: {refused}");
    }
    let said = json!({"request_id": id, "score": 1});
    assert_eq!(app.post("/v1/feedback", &evaluator, &said).await.0, 403, "a member’s key says nothing");
    assert_eq!(app.get("/v1/eval/feedback", &open.secret).await.0, 403, "a project’s key reads nothing");
    let (_, list) = app.get("/v1/eval/feedback", &evaluator).await;
    let mut scores: Vec<f64> =
        list["data"].as_array().expect("a list").iter().filter_map(|one| one["score"].as_f64()).collect();
    scores.sort_by(f64::total_cmp);
    assert_eq!(scores, [0.0, 1.0], "{list}");
}
