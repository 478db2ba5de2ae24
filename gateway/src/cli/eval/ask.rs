//! Many requests to one OpenAI-compatible server: bounded, resumed where they stopped, every raw answer kept.

use std::collections::HashMap;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::eval::dataset::Item;
use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use clap::Args;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::cli::Failure;
use crate::config::DataClass;
use crate::evaluation::ask::{Answer, Ask, Estimate};

/// Tries of one request, and the wait before the second; it doubles.
const TRIES: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(500);

#[derive(Args)]
pub struct Server {
    /// Adresse compatible OpenAI / OpenAI-compatible address
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080/v1")]
    url: String,
    /// Variable d’environnement qui tient la clé / Environment variable that holds the key
    #[arg(long, value_name = "NAME", default_value = "GUICHET_KEY")]
    key_env: String,
    /// Requêtes à la fois / Requests at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// Secondes laissées à une réponse / Seconds an answer may take
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Jetons au plus par réponse / Tokens of an answer at most
    #[arg(long, default_value_t = 512)]
    pub max_tokens: u32,
    /// Euros par million de jetons lus / Euros for a million tokens read
    #[arg(long, value_name = "EUROS")]
    price_input: Option<f64>,
    /// Euros par million de jetons écrits / Euros for a million tokens written
    #[arg(long, value_name = "EUROS")]
    price_output: Option<f64>,
    /// Classe de données la plus haute que ce serveur peut recevoir / Highest data class this server may be sent
    #[arg(long, value_name = "CLASS", default_value = "public")]
    up_to: DataClass,
    /// Lance ; sans cela, seule l’estimation est dite / Run; else only the estimate is told
    #[arg(long)]
    yes: bool,
}

/// The file of answers: a first line that says which run it is, then a line an answer.
pub struct Answers {
    path: PathBuf,
    /// What was run.
    pub run: Value,
    /// The last answer of each key: a failure that was mended is an answer.
    pub by_key: HashMap<String, Answer>,
    /// Bytes of whole lines. A line torn by a kill comes after them, and is written over.
    whole: u64,
}

impl Answers {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Answers, Failure> {
        let name = path.display();
        let unread = |error: &dyn std::fmt::Display| {
            Failure(format!("{name} ne se lit pas : {error} / {name} cannot be read: {error}"))
        };
        let text = std::fs::read(path).map_err(|error| unread(&error))?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut lines = text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mut first: Value =
            serde_json::from_slice(lines.next().unwrap_or(b"null")).map_err(|error| unread(&error))?;
        let run = first["run"].take();
        let mut answers = Answers { path: path.to_owned(), run, by_key: HashMap::new(), whole: whole as u64 };
        for line in lines {
            let answer: Answer = serde_json::from_slice(line).map_err(|error| unread(&error))?;
            answers.by_key.insert(answer.key.clone(), answer);
        }
        Ok(answers)
    }

    /// Takes up a run where its file ends, or a new one.
    pub fn open(path: &Path, run: &Value) -> Result<Answers, Failure> {
        let answers = match path.exists() {
            true => Answers::read(path)?,
            false => Answers { path: path.to_owned(), run: Value::Null, by_key: HashMap::new(), whole: 0 },
        };
        if answers.whole > 0 && answers.run != *run {
            let name = path.display();
            return Err(Failure(format!(
                "{name} contient les réponses d’un autre essai : nommez un autre fichier / {name} holds the answers of another run: name another file"
            )));
        }
        Ok(Answers { run: run.clone(), ..answers })
    }

    /// The file, ready for the next line.
    fn file(&self) -> std::io::Result<File> {
        let mut file = File::options().create(true).append(true).open(&self.path)?;
        file.set_len(self.whole)?;
        if self.whole == 0 {
            file.write_all(format!("{}\n", json!({"run": self.run})).as_bytes())?;
        }
        Ok(file)
    }

    /// Whether a request has its answer.
    pub fn done(&self, key: &str) -> bool {
        self.by_key.get(key).is_some_and(|answer| answer.text.is_some())
    }

    fn add(&mut self, file: &mut File, answer: Answer) -> std::io::Result<()> {
        // One write a line: a kill leaves whole lines, and at most one torn.
        file.write_all(format!("{}\n", serde_json::to_string(&answer)?).as_bytes())?;
        self.by_key.insert(answer.key.clone(), answer);
        Ok(())
    }
}

impl Server {
    /// Refuses items whose data class may not go to this server. An item that says none is taken for public.
    pub fn clears(&self, items: &[Item]) -> Result<(), Failure> {
        let mut above = 0;
        for item in items {
            let class = item.fields.get("data_class").map_or(Ok(DataClass::Public), |word| word.parse());
            above += usize::from(class.map_err(Failure)? > self.up_to);
        }
        if above == 0 {
            return Ok(());
        }
        let class = self.up_to.as_str();
        Err(Failure(format!(
            "{above} élément(s) sont d’une classe de données au-dessus de « {class} » : rien n’est envoyé ; voyez --up-to / {above} item(s) are of a data class above “{class}”: nothing is sent; see --up-to"
        )))
    }

    fn client(&self) -> Client<OpenAIConfig> {
        let key = std::env::var(&self.key_env).unwrap_or_else(|_| "none".to_owned());
        Client::with_config(OpenAIConfig::new().with_api_base(&self.url).with_api_key(key))
    }

    /// Families of the models this server lists, by id and alias. None that is not told.
    pub async fn families(&self) -> Result<HashMap<String, String>, Failure> {
        let listed: Value = self.client().models().list_byot().await.map_err(|error| Failure(error.to_string()))?;
        let mut families = HashMap::new();
        for model in listed["data"].as_array().into_iter().flatten() {
            let Some(family) = model["family"].as_str() else { continue };
            let names = model["aliases"].as_array().into_iter().flatten().chain([&model["id"]]);
            families.extend(names.filter_map(Value::as_str).map(|name| (name.to_owned(), family.to_owned())));
        }
        Ok(families)
    }

    fn estimate(&self, asks: &[Ask], answers: &Answers) -> Estimate {
        let left = asks.iter().filter(|ask| !answers.done(&ask.key));
        let already = asks.iter().filter(|ask| answers.done(&ask.key)).count();
        Estimate::of(left, already, self.max_tokens, |_| self.price_input.zip(self.price_output))
    }

    /// Sends what has no answer yet; false when that was not asked for. The estimate is told first, on standard error.
    pub async fn run(&self, asks: Vec<Ask>, answers: &mut Answers) -> Result<bool, Failure> {
        let mut notes = std::io::stderr();
        let estimate = self.estimate(&asks, answers);
        writeln!(notes, "{}", serde_json::to_string(&estimate)?)?;
        if !self.yes {
            writeln!(notes, "--yes pour lancer / --yes to run")?;
            return Ok(false);
        }
        let client = self.client();
        let mut file = answers.file()?;
        let mut left: Vec<Ask> = asks.into_iter().filter(|ask| !answers.done(&ask.key)).collect();
        left.reverse();
        let (all, mut done, mut failed) = (left.len(), 0, 0);
        let mut running = JoinSet::new();
        let mut told = Instant::now();
        loop {
            while running.len() < usize::from(self.concurrency) {
                let Some(ask) = left.pop() else { break };
                running.spawn(one(client.clone(), ask, self.max_tokens, Duration::from_secs(self.timeout)));
            }
            let Some(answer) = running.join_next().await else { break };
            let answer = answer?;
            done += 1;
            failed += usize::from(answer.text.is_none());
            answers.add(&mut file, answer)?;
            if done == all || (notes.is_terminal() && told.elapsed() > Duration::from_millis(200)) {
                write!(notes, "\r{done}/{all}, {failed} échec(s) / failed")?;
                told = Instant::now();
            }
        }
        if all > 0 {
            writeln!(notes)?;
        }
        file.sync_all()?;
        Ok(true)
    }
}

async fn one(client: Client<OpenAIConfig>, ask: Ask, max_tokens: u32, patience: Duration) -> Answer {
    let mut body = json!({"model": ask.model, "messages": ask.messages, "max_tokens": max_tokens, "stream": false});
    if let Some(body) = body.as_object_mut() {
        body.extend(ask.settings.clone());
    }
    let began = Instant::now();
    let mut wait = FIRST_WAIT;
    let mut outcome: Result<Value, String> = Err(String::new());
    for attempt in 1..=TRIES {
        let again = match tokio::time::timeout(patience, client.chat().create_byot(&body)).await {
            Ok(Ok(answer)) => {
                outcome = Ok(answer);
                break;
            }
            Ok(Err(error)) => {
                outcome = Err(error.to_string());
                worth_again(&error)
            }
            Err(_) => {
                outcome = Err(format!("no answer within {} s", patience.as_secs()));
                false
            }
        };
        if !again || attempt == TRIES {
            break;
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
    let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Answer::read(ask, outcome, milliseconds)
}

/// The network, or a server that says it is busy: not a request that is wrong.
fn worth_again(error: &OpenAIError) -> bool {
    match error {
        OpenAIError::Reqwest(_) => true,
        OpenAIError::ApiError(told) => told.status_code.as_u16() == 429 || told.status_code.is_server_error(),
        _ => false,
    }
}
