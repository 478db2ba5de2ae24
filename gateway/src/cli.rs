//! The command line. Standard output holds what was asked for, standard error holds log lines and problems.

pub mod check_config;
#[cfg(feature = "retrieval")]
pub mod document;
#[cfg(feature = "eval")]
pub mod eval;
#[cfg(feature = "retrieval")]
pub mod index;
#[cfg(feature = "retrieval")]
pub mod ingest;
pub mod init;
pub mod key;
pub mod limit;
pub mod member;
pub mod models;
pub mod organization;
pub mod project;
pub mod serve;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config, Origin, Problem};
use crate::store::Database;

/// Guichet: one OpenAI-compatible counter in front of self-hosted open models.
#[derive(Parser)]
#[command(name = "guichet", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve. On an empty folder it just starts, and says what to do next
    Serve(serve::Serve),
    /// Look for engines on this machine and write a commented configuration
    Init(init::Init),
    /// Check a configuration and tell every problem at once
    CheckConfig(check_config::CheckConfig),
    /// Bring the database to this version
    Migrate(Source),
    /// Tell what is served, by whom, how healthy
    Models(models::Models),
    /// Print the OpenAPI description
    Openapi,
    /// Read and split documents, without storing anything
    #[cfg(feature = "retrieval")]
    #[command(subcommand)]
    Document(document::Command),
    /// Send folders, archives and JSONL to a collection of a running gateway
    #[cfg(feature = "retrieval")]
    Ingest(ingest::Ingest),
    /// The vector index: moved to another engine, made anew
    #[cfg(feature = "retrieval")]
    #[command(subcommand)]
    Index(index::Command),
    /// Make and list organizations
    #[command(subcommand)]
    Organization(organization::Command),
    /// Make and list projects of organizations
    #[command(subcommand)]
    Project(project::Command),
    /// Make and list members, with their roles
    #[command(subcommand)]
    Member(member::Command),
    /// Make, list and revoke keys of projects and members
    #[command(subcommand)]
    Key(key::Command),
    /// Limits of organizations, projects, keys and members
    #[command(subcommand)]
    Limit(limit::Command),
    /// Evaluation: statistics and grids, on files
    #[cfg(feature = "eval")]
    #[command(subcommand)]
    Eval(eval::Command),
}

/// Which configuration a command works with.
#[derive(Args, Clone, Debug, Default)]
pub struct Source {
    /// Configuration file. Default: $GUICHET_CONFIG, ./guichet.yaml, then the embedded one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data folder, instead of the configuration's
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// Why a command failed, for a person.
#[derive(Debug)]
pub struct Failure(pub String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure(error.to_string())
    }
}

pub type Outcome = Result<(), Failure>;

impl Source {
    /// Reads the configuration; its problems as one text.
    pub fn read(&self) -> Result<(Config, Origin), Failure> {
        let origin = Origin::find(self.config.as_deref());
        let mut config = config::load(&origin).map_err(|problems| Failure(told(&problems)))?;
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        Ok((config, origin))
    }

    /// Opens the database of the configuration, brought to this version.
    pub async fn database(&self) -> Result<Database, Failure> {
        let (config, _) = self.read()?;
        crate::start::make_private(&config.data)
            .map_err(|error| Failure(format!("the data folder {} cannot be made: {error}", config.data.display())))?;
        let database = Database::open(&config).await?;
        database.migrate().await?;
        Ok(database)
    }
}

/// All problems, one a paragraph.
pub fn told(problems: &[Problem]) -> String {
    let mut text: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    text.push_str(&match problems.len() {
        1 => "1 problem".to_owned(),
        n => format!("{n} problems"),
    });
    text
}

/// Runs the program.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            drop(error.print());
            return ExitCode::from(if code == 0 { 0 } else { misunderstood(code) });
        }
    };
    let mut out = std::io::stdout().lock();
    let result = match cli.command {
        Command::Serve(serve) => {
            drop(out);
            serve.run().map(|()| ExitCode::SUCCESS)
        }
        command => short(command, &mut out),
    };
    match result {
        Ok(code) => code,
        Err(Failure(message)) => {
            drop(writeln!(std::io::stderr(), "{message}"));
            ExitCode::FAILURE
        }
    }
}

/// Exit code of words that are no command. A gate's own codes mean a verdict up to 2, so its errors are 3.
fn misunderstood(usual: u8) -> u8 {
    #[cfg(feature = "eval")]
    if std::env::args_os().skip(1).take(2).eq(["eval", "gate"]) {
        return eval::report::ERROR;
    }
    usual
}

/// A command that does its work and ends.
fn short(command: Command, out: &mut impl Write) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let done = match command {
            #[cfg(feature = "eval")]
            Command::Eval(command) => return command.run(out).await,
            Command::Serve(_) => Ok(()),
            Command::Init(init) => init.run(out).await,
            Command::CheckConfig(check) => check.run(out),
            Command::Migrate(source) => {
                source.database().await?;
                Ok(writeln!(out, "The database is at this version.")?)
            }
            Command::Models(models) => models.run(out).await,
            Command::Openapi => {
                let text = crate::router::openapi().to_pretty_json()?;
                Ok(writeln!(out, "{text}")?)
            }
            #[cfg(feature = "retrieval")]
            Command::Document(command) => command.run(out).await,
            #[cfg(feature = "retrieval")]
            Command::Ingest(ingest) => ingest.run(out).await,
            #[cfg(feature = "retrieval")]
            Command::Index(command) => command.run(out).await,
            Command::Organization(command) => command.run(out).await,
            Command::Project(command) => command.run(out).await,
            Command::Member(command) => command.run(out).await,
            Command::Key(command) => command.run(out).await,
            Command::Limit(command) => command.run(out).await,
        };
        done.map(|()| ExitCode::SUCCESS)
    })
}
