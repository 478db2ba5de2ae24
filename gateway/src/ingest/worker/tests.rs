use super::*;

/// What becomes of a file when the process does this instead of reading it.
async fn with(script: &str, limits: Limits) -> Result<Document, ParseError> {
    let folder = tempfile::tempdir().unwrap();
    // `sh document parse-worker …` runs the script of that name.
    std::fs::write(folder.path().join("document"), script).unwrap();
    let mut worker = Worker::with("/bin/sh".into(), limits, 1 << 30);
    worker.folder = folder.path().to_owned();
    worker.parse("a.txt", Bytes::from_static(b"texte")).await
}

async fn refused(script: &str) -> Refusal {
    let limits = Limits { time: Duration::ZERO, text: 1024, ..Limits::default() };
    match with(script, limits).await {
        Err(ParseError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

fn frame(json: &str) -> String {
    let length: String = (json.len() as u64).to_le_bytes().iter().map(|byte| format!("\\{byte:03o}")).collect();
    format!("printf 'GDOC{length}'; printf '%s' '{json}'")
}

#[tokio::test]
async fn an_answer_is_believed_only_whole() {
    let json = r#"{"Ok":{"title":"T","language":null,"blocks":[]}}"#;
    let document = with(&frame(json), Limits::default()).await.unwrap();
    assert_eq!(document.title.as_deref(), Some("T"));
    let broken = Refusal::Broken { kind: "?".to_owned() };
    assert_eq!(refused(&frame(json).replace("}}'", "}'")).await, broken);
    assert_eq!(refused(&format!("{}; exit 1", frame(json))).await, broken);
    assert_eq!(refused("true").await, broken);
    assert_eq!(refused(&frame(r#"{"Err":{"reason":"empty"}}"#)).await, Refusal::Empty);
}

#[tokio::test]
async fn each_death_has_its_reason() {
    assert_eq!(refused("kill -SEGV $$").await, Refusal::Broken { kind: "?".to_owned() });
    assert_eq!(refused("kill -XCPU $$").await, Refusal::TooSlow { seconds: 0 });
    let limit = 1 << 30;
    let starved = "echo 'memory allocation of 8 bytes failed' >&2; kill -ABRT $$";
    assert_eq!(refused(starved).await, Refusal::TooMuchMemory { limit });
    assert_eq!(refused("echo 'out of memory' >&2; exit 1").await, Refusal::TooMuchMemory { limit });
    let deep = "echo 'thread main has overflowed its stack' >&2; kill -ABRT $$";
    assert_eq!(refused(deep).await, Refusal::TooDeep { limit: 200 });
}

#[tokio::test]
async fn a_flood_is_cut() {
    assert_eq!(refused("exec cat /dev/zero").await, Refusal::TooMuchText { limit: 1024 });
}

#[tokio::test]
async fn silence_is_cut() {
    assert_eq!(refused("exec sleep 600").await, Refusal::TooSlow { seconds: 0 });
}

#[tokio::test]
async fn dropping_the_reading_ends_the_process() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("document"), "echo $$ > pid.new; mv pid.new pid; exec sleep 600").unwrap();
    let mut worker = Worker::with("/bin/sh".into(), Limits::default(), 1 << 30);
    worker.folder = folder.path().to_owned();
    let patience = std::time::Instant::now() + Duration::from_secs(30);
    let started = async {
        loop {
            if let Ok(pid) = std::fs::read_to_string(folder.path().join("pid")) {
                return PathBuf::from(format!("/proc/{}/fd", pid.trim()));
            }
            assert!(std::time::Instant::now() < patience, "the process does not start");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let files = tokio::select! {
        ended = worker.parse("a.txt", Bytes::new()) => panic!("{ended:?}"),
        files = started => files,
    };
    // A process that is dead and not yet waited for has no files.
    while std::fs::read_dir(&files).is_ok_and(|mut files| files.next().is_some()) {
        assert!(std::time::Instant::now() < patience, "the process goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn our_environment_and_the_name_stay_with_us() {
    // Neither in its arguments nor, but for its extension, in what it reads.
    let script = r#"test -z "$CARGO_MANIFEST_DIR" && test "$#" = 3 && test "$(head -c 16 | tail -c 8)" = file.txt && "#;
    let json = r#"{"Ok":{"title":null,"language":null,"blocks":[]}}"#;
    let document = with(&format!("{script} {{ {}; }}", frame(json)), Limits::default()).await;
    assert!(document.is_ok(), "{document:?}");
    assert_eq!(bare("secret.d'état"), "file.");
    assert_eq!(bare("sans extension"), "file.");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_our_failure() {
    let worker = Worker::with("/nowhere/guichet".into(), Limits::default(), 1 << 30);
    let failed = worker.parse("a.txt", Bytes::from_static(b"texte")).await;
    assert!(matches!(failed, Err(ParseError::Failed(_))), "{failed:?}");
}

/// A process that answers its first files well and then does this.
async fn series(script: &str, limits: Limits) -> Vec<Result<Document, ParseError>> {
    let folder = tempfile::tempdir().unwrap();
    let good = frame(r#"{"Ok":{"title":"T","language":null,"blocks":[]}}"#);
    // A file is 29 bytes with its name: 8, 8, 8, 5. `head` may take more than it is to: one byte at a time.
    let next = "dd bs=1 count=29 2>/dev/null | tail -c 5";
    let text = format!("while true; do case \"$({next})\" in bonne) {good};; *) {script};; esac; done");
    std::fs::write(folder.path().join("document"), text).unwrap();
    let mut worker = Worker::with("/bin/sh".into(), limits, 1 << 30);
    worker.folder = folder.path().to_owned();
    let mut series = worker.series();
    let mut read = Vec::new();
    for file in ["bonne", "autre", "bonne"] {
        read.push(series.parse("a.txt", Bytes::from_static(file.as_bytes())).await);
    }
    read
}

#[tokio::test]
async fn in_a_series_each_file_has_its_own_verdict() {
    let limits = Limits { time: Duration::ZERO, text: 1024, ..Limits::default() };
    let broken = Refusal::Broken { kind: "?".to_owned() };
    let deaths = [
        ("kill -SEGV $$", broken.clone()),
        ("exit 0", broken),
        ("kill -XCPU $$", Refusal::TooSlow { seconds: 0 }),
        ("exec cat /dev/zero", Refusal::TooMuchText { limit: 1024 }),
        ("echo 'memory allocation of 8 bytes failed' >&2; kill -ABRT $$", Refusal::TooMuchMemory { limit: 1 << 30 }),
    ];
    for (script, wanted) in deaths {
        let read = series(script, limits.clone()).await;
        assert!(matches!(&read[1], Err(ParseError::Refused(refusal)) if *refusal == wanted), "{script}: {read:?}");
        assert!(read[0].is_ok() && read[2].is_ok(), "{script}: {read:?}");
    }
}

#[tokio::test]
async fn a_file_that_only_fails_in_company_is_read_alone() {
    // Its process has read nothing else when `mark` is there for the second time.
    let good = frame(r#"{"Ok":{"title":"seul","language":null,"blocks":[]}}"#);
    let script = format!("if test -z \"$seen\"; then {good}; else exit 1; fi");
    let folder = tempfile::tempdir().unwrap();
    let next = "dd bs=1 count=29 2>/dev/null | tail -c 5";
    let text = format!("while true; do word=$({next}); {script}; seen=oui; done");
    std::fs::write(folder.path().join("document"), text).unwrap();
    let mut worker = Worker::with("/bin/sh".into(), Limits::default(), 1 << 30);
    worker.folder = folder.path().to_owned();
    let mut series = worker.series();
    for _ in 0..3 {
        let read = series.parse("a.txt", Bytes::from_static(b"texte")).await;
        assert_eq!(read.unwrap().title.as_deref(), Some("seul"));
    }
}
