//! Evaluation at size: `cargo bench -p gateway --bench evaluation -- --usage 10000000 --contents 1000000`.
//!
//! Fills a database by the gateway's own inserts (both logs are chained and verify), a year of twenty organizations, then
//! draws samples, makes the report of a month, and gives out a campaign's items. Each line tells the time, and by how much
//! memory of this process rose above what it held before. `--url postgres://…` for PostgreSQL; SQLite in a folder of its own
//! else. With `--keep`, a database that is full already is measured again without being filled.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use eval::grid::{EvidenceTable, Grid};
use eval::report::{Provenance, Report, Sources};
use eval::stats::Level;
use eval::table::Table;
use guichet::config::load::{Origin, from_text};
use guichet::evaluation::{campaign, sample};
use guichet::recorder::record::{Admission, Endpoint, Outcome, Record};
use guichet::store::chain::record_hash;
use guichet::store::evaluation::{EvaluationRecord, Kept, content_hash};
use guichet::store::page::Reach;
use guichet::store::people::Month;
use guichet::store::totals::Dimension;
use guichet::store::turns::Said;
use guichet::store::usage::UsageFilter;
use guichet::store::{self, Actor, Database};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error>;

#[derive(Parser)]
struct Settings {
    /// Usage records.
    #[arg(long, default_value_t = 10_000_000)]
    usage: u64,
    /// Evaluation records, with their content.
    #[arg(long, default_value_t = 1_000_000)]
    contents: u64,
    /// Database; absent: SQLite in `folder`.
    #[arg(long)]
    url: Option<String>,
    /// Where SQLite writes; absent: a folder that goes afterwards.
    #[arg(long)]
    folder: Option<std::path::PathBuf>,
    /// The database is full already.
    #[arg(long)]
    keep: bool,
    /// What `cargo bench` says.
    #[arg(long, hide = true)]
    bench: bool,
}

const ORGANIZATIONS: u64 = 20;
const MODELS: u64 = 12;
/// End users of an organization in a month.
const USERS: u64 = 4_000;
const YEAR: i64 = 365 * 86_400_000;
/// 2026-11-01, in UTC.
const END: i64 = 1_793_491_200_000;
const BATCH: u64 = 5_000;

/// The same numbers for the same place, whatever was made before.
fn number(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What a request and its content have in common.
struct Request {
    id: String,
    at: i64,
    organization: i64,
    project: i64,
    user: String,
    model: String,
    noise: u64,
}

impl Request {
    /// The `place`-th of `all`, in the order of time.
    fn new(place: u64, all: u64) -> Request {
        let noise = number(place);
        let at = END - YEAR + i64::try_from(u128::from(place) * YEAR as u128 / u128::from(all)).unwrap_or(0);
        // Few organizations make most requests.
        let organization = (noise % ORGANIZATIONS).min((noise >> 8) % ORGANIZATIONS) + 1;
        let month = at / 2_629_800_000;
        let user = number(((noise >> 16) % USERS) ^ (organization << 32) ^ ((month as u64) << 40));
        Request {
            id: format!("req_{at:012x}{place:020x}"),
            at,
            organization: organization as i64,
            project: (organization * 3 + noise % 3) as i64,
            user: format!("{user:016x}{:016x}", number(user)),
            model: format!("openweight-{}", (noise >> 24) % MODELS),
            noise,
        }
    }

    fn record(self) -> Record {
        let failed = self.noise.is_multiple_of(50);
        let admission = Admission {
            id: self.id.into(),
            started_at: self.at,
            organization_id: self.organization,
            project_id: Some(self.project),
            member_id: None,
            key_id: format!("{:016}", self.project).into(),
            end_user: (self.noise % 100 < 95).then(|| self.user.into()),
            endpoint: Endpoint::ChatCompletions,
            streamed: !self.noise.is_multiple_of(4),
            model_asked: self.model.as_str().into(),
            data_class: "internal".into(),
            tokens_in: (self.noise >> 32) as i64 % 2_000,
            client_retry: 0,
        };
        Record {
            model_served: (!failed).then(|| self.model.as_str().into()),
            deployment: Some(format!("{}-a", self.model).into()),
            hosting: Some("state · FR".into()),
            tokens_out: (self.noise >> 40) as i64 % 800,
            tokens_estimated: false,
            first_token_ms: Some((self.noise >> 20) as i64 % 900),
            duration_ms: (self.noise >> 12) as i64 % 20_000,
            status: if failed { 503 } else { 200 },
            outcome: if failed { Outcome::Error } else { Outcome::Success },
            error_code: failed.then(|| "service_unavailable".into()),
            finish_reason: Some("stop".into()),
            attempts: 1,
            energy_wh: Some(0.3),
            carbon_g: Some(0.02),
            impact_method: Some("bench".into()),
            ..Record::interrupted(admission)
        }
    }

    fn kept(self) -> Kept {
        let salt = format!("{:032x}", self.noise);
        let question = "Où en est mon dossier, déposé par [nom] le mois dernier ? ".repeat(4);
        let answer = "Votre dossier est en cours d’instruction ; le délai est de deux mois. ".repeat(8);
        let content = json!({"messages": [{"role": "user", "content": question}],
            "answers": [{"content": answer, "finish_reason": "stop"}], "passages": []})
        .to_string();
        let record = EvaluationRecord {
            id: self.id,
            at: self.at,
            organization_id: self.organization,
            project_id: self.project,
            end_user: Some(self.user),
            endpoint: "chat.completions".to_owned(),
            streamed: !self.noise.is_multiple_of(4),
            model: self.model,
            deployment: None,
            data_class: "internal".to_owned(),
            language: Some(if self.noise.is_multiple_of(10) { "en" } else { "fr" }.to_owned()),
            use_case: Some(
                ["accueil", "rediger", "resumer", "traduire", "chercher"][self.noise as usize / 7 % 5].to_owned(),
            ),
            prompt_id: None,
            prompt_version: None,
            prompt_hash: None,
            outcome: "success".to_owned(),
            notice: "2026-1".to_owned(),
            rule: None,
            probability: 0.1,
            masked: [("name".to_owned(), 4)].into(),
            content_hash: content_hash(&salt, &content),
        };
        Kept { record, salt, content }
    }
}

/// A number of `/proc/self/status`, in MiB.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib / 1_024)
}

/// Tells what one thing took, and gives back what it made.
async fn timed<T>(what: &str, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    // Highest memory from here on.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let (before, began) = (status("VmRSS"), Instant::now());
    let made = work.await?;
    let rose = status("VmHWM").saturating_sub(before);
    writeln!(std::io::stdout(), "{what:<64} {:>8.2} s   + {rose} MiB", began.elapsed().as_secs_f64())?;
    Ok(made)
}

async fn fill(database: &Database, settings: &Settings) -> Result<(), Failure> {
    let mut change = database.change(Actor::CLI).await?;
    for number in 1..=ORGANIZATIONS {
        change.create_organization(&format!("ministere-{number}")).await?;
    }
    change.commit().await?;
    let all = settings.usage;
    timed(&format!("{all} usage records stored and chained"), async {
        for start in (0..all).step_by(BATCH as usize) {
            let batch: Vec<Record> = (start..all.min(start + BATCH)).map(|at| Request::new(at, all).record()).collect();
            let hashes = batch.iter().map(record_hash).collect::<Result<Vec<_>, _>>()?;
            database.insert_records(&batch, &hashes).await?;
        }
        Ok(())
    })
    .await?;
    // One request in so many is kept.
    let each = (all / settings.contents.max(1)).max(1);
    timed(&format!("{} contents stored and chained", settings.contents), async {
        for start in (0..settings.contents).step_by(BATCH as usize) {
            let places = start..settings.contents.min(start + BATCH);
            let batch: Vec<Kept> = places.map(|at| Request::new(at * each, all).kept()).collect();
            database.insert_kept(&batch).await?;
        }
        Ok(())
    })
    .await
}

fn ask(size: u64, organization: Option<i64>) -> Result<sample::Ask, Failure> {
    let fields = ["organization", "model", "use", "language"];
    Ok(serde_json::from_value(
        json!({"name": "mesure", "size": size, "by": fields, "seed": 7, "organization_id": organization}),
    )?)
}

/// Two people and a judge on each item of a sample, by a grid of two criteria.
async fn report(database: &Database, sample: i64) -> Result<usize, Failure> {
    const GRID: &str = "grid: mesure\nversion: 1\ntitle: {fr: Mesure, en: Measure}\nfacets:\n\
        - {id: a, label: {fr: Exactitude, en: Accuracy}, criteria: [{id: juste, question: {fr: Juste ?, en: Right?}, scale: boolean, evidence: [human, 'judge:judge-criterion@1']}]}\n\
        - {id: b, label: {fr: Clarté, en: Clarity}, criteria: [{id: clair, question: {fr: Clair ?, en: Clear?}, scale: {interval: {low: 0, high: 4}}, evidence: human}]}\n";
    let grid = Grid::read(GRID).map_err(|problems| format!("{} problems in the grid", problems.len()))?;
    let mut lines = String::from("criterion,value,source,item,rater,cluster,probability\n");
    let mut last = 0;
    loop {
        let page = database.sample_items(sample, 5_000, last).await?;
        let Some((item, _)) = page.last() else { break };
        last = item.place;
        for (item, user) in page {
            let (noise, tail) =
                (number(item.place as u64), format!("{},{}", user.unwrap_or_default(), item.probability));
            let id = &item.record_id;
            for rater in ["camille", "dominique"] {
                let said = number(noise ^ rater.len() as u64);
                lines += &format!("juste,{},human,{id},{rater},{tail}\n", u8::from(!said.is_multiple_of(4)));
                lines += &format!("clair,{},human,{id},{rater},{tail}\n", said / 4 % 5);
            }
            lines += &format!("juste,{},judge:judge-criterion@1,{id},m,{tail}\n", u8::from(noise % 5 != 0));
        }
    }
    let evidence = EvidenceTable::read(&grid, &Table::read(lines.as_bytes())?)?;
    let made = Report::new(Sources {
        grid: &grid,
        evidence: &evidence,
        duels: None,
        usage: None,
        level: Level::default(),
        threshold: Some(0.6),
        product: None,
        no_end_users: false,
        provenance: Provenance::default(),
    })?;
    Ok(made.html().len())
}

/// One annotator of a campaign of ten thousand items, given one after the other.
async fn annotate(database: &Database) -> Result<(), Failure> {
    let mut change = database.change(Actor::CLI).await?;
    let address = format!("mesure-{}@exemple.org", store::now());
    let member = change.create_member(&address, "Mesure", None).await?.id;
    change.commit().await?;
    let row = |n: usize| json!({"prompt": format!("Question {n} ?"), "answers": [{"text": format!("Réponse {n}.")}]});
    let rows: Vec<serde_json::Value> = (0..10_000).map(row).collect();
    let ask = json!({"name": "mesure", "grid": "guichet@1", "criteria": ["sans-danger"], "rows": rows, "per_item": 1});
    let ask = serde_json::from_value(ask)?;
    let made = async { Ok(campaign::create(database, Actor::CLI, ask).await?) };
    let campaign = timed("campaign of 10,000 items made", made).await?;
    let said = Said {
        skipped: false,
        answers: vec![("sans-danger".to_owned(), Some("yes".to_owned()))],
        comment: None,
        taken_ms: None,
        timed: true,
    };
    for (what, items) in [("the first of them given", 1), ("2,000 more given and answered, one after the other", 2_000)]
    {
        let work = async {
            for _ in 0..items {
                let order = |item: &str| campaign::rank(&campaign, member, item);
                let until = store::now() + 60_000;
                let turns = database.give_items(&campaign, member, 1, until, order).await?.unwrap_or_default();
                let turn = turns.first().ok_or("an item")?;
                database.take_answer(&campaign, member, &turn.item, &said).await?;
            }
            Ok(())
        };
        timed(what, work).await?;
    }
    Ok(())
}

async fn measure(settings: &Settings) -> Result<(), Failure> {
    let own = tempfile::tempdir()?;
    let folder = settings.folder.clone().unwrap_or_else(|| own.path().to_owned());
    let url = settings.url.clone().unwrap_or_else(|| format!("sqlite://{}", folder.join("bench.db").display()));
    let text = format!("data: {:?}\ndatabase: {{url: {url:?}}}\n", folder.display().to_string());
    let config = from_text(&Origin::Embedded, &text, Vec::new())
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let database = Database::open(&config).await?;
    database.migrate().await?;
    if !settings.keep {
        fill(&database, settings).await?;
    }
    let month = Month::parse("2026-10").ok_or("a month")?;
    let sizes = [("1,000 of all organizations", 1_000, None), ("1,000 of the largest", 1_000, Some(1))];
    for (what, size, organization) in sizes {
        let ask = ask(size, organization)?;
        timed(&format!("sample of {what}"), async { Ok(sample::draw(&database, &ask, None).await?) }).await?;
    }
    let began = Instant::now();
    timed("month: totals by day, organization and model", async {
        let filter = UsageFilter {
            reach: Reach::Everything,
            organization: None,
            project: None,
            key: None,
            endpoint: None,
            start: month.start,
            end: month.end,
        };
        let by = [Dimension::Day, Dimension::Organization, Dimension::Model];
        Ok(database.usage_totals(&filter, &by, 10_000, 0).await?.len())
    })
    .await?;
    timed("month: active end users, by organization", async {
        Ok(database.active_users(&Reach::Everything, None, &month).await?.len())
    })
    .await?;
    timed("eleven months before: active end users, for the curve", async {
        for month in Month::touched(END - YEAR, month.start) {
            database.active_users(&Reach::Everything, None, &month).await?;
        }
        Ok(())
    })
    .await?;
    let ask = ask(10_000, None)?;
    let drawn = timed("month: sample of 10,000", async { Ok(sample::draw(&database, &ask, None).await?) }).await?;
    timed("month: report in HTML on 50,000 lines of evidence", report(&database, drawn)).await?;
    writeln!(std::io::stdout(), "monthly report, all of it: {:.1} s", began.elapsed().as_secs_f64())?;
    annotate(&database).await?;
    database.close().await;
    Ok(())
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(measure(&settings)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "evaluation: {error}");
            ExitCode::FAILURE
        }
    }
}
