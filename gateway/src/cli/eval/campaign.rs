//! `guichet eval campaign`: made, given out as blind CSV, taken back, counted.

use std::io::Write;
use std::path::{Path, PathBuf};

use ::eval::stats::Level;
use ::eval::table::{Broken, Table};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{bytes, text};
use crate::cli::{Failure, Outcome, Source, member, organization};
use crate::config::Span;
use crate::evaluation::campaign::results::{Results, Settings};
use crate::evaluation::campaign::rows::Row;
use crate::evaluation::campaign::{self, Ask, grid, sheet};
use crate::store::campaigns::Campaign;
use crate::store::page::Reach;
use crate::store::{Actor, Database, now};

#[derive(Subcommand)]
pub enum Command {
    /// Ouvre une campagne d’annotation / Open a campaign of annotation
    Create(Box<Create>),
    /// Liste les campagnes et où elles en sont / List campaigns and how far they are
    List {
        #[command(flatten)]
        source: Source,
        /// En JSON / As JSON
        #[arg(long)]
        json: bool,
    },
    /// Clôt une campagne : plus rien n’est confié ni reçu / Close a campaign
    Close {
        /// Numéro de la campagne / Number of the campaign
        id: i64,
        #[command(flatten)]
        source: Source,
    },
    /// Écrit un CSV aveugle par annotateur, ou la table de preuves / Write a blind CSV for each annotator, or the evidence
    Export(Export),
    /// Reprend des CSV remplis / Take filled CSV back
    Import(Import),
    /// Accord et exactitude des annotateurs, en JSON / Agreement and accuracy of annotators, as JSON
    Agreement(Figures),
    /// Candidats deux à deux, en JSON / Candidates two by two, as JSON
    Pairs(Figures),
    /// Classement des candidats, en JSON / Ranking of candidates, as JSON
    Rankings(Figures),
}

#[derive(Args)]
pub struct Create {
    /// Son nom / Its name
    name: String,
    /// Fichier d’une grille, ou id@version / File of a grid, or id@version
    #[arg(long, default_value = "guichet@1")]
    grid: String,
    /// Critères humains, sinon tous ceux qui conviennent / Human criteria, all that fit otherwise
    #[arg(long, value_delimiter = ',')]
    criteria: Vec<String>,
    /// Échantillon à annoter / Sample to annotate
    #[arg(long)]
    sample: Option<i64>,
    /// Lignes JSONL à annoter, étalons compris (« expected ») / JSONL rows to annotate, gold ones (“expected”) too
    #[arg(long, value_name = "FILE")]
    rows: Vec<PathBuf>,
    /// Personnes par élément / People who answer each item
    #[arg(long, default_value_t = 2)]
    per_item: i64,
    /// Graine de l’ordre et des côtés / Seed of the order and of sides
    #[arg(long, default_value_t = 1)]
    seed: i64,
    /// Temps pour lequel un élément est confié / How long an item is held
    #[arg(long, default_value = "30m", value_parser = span)]
    lock: Span,
    /// Membres qui annotent, par leur adresse ; sinon les évaluateurs / Members who annotate, evaluators otherwise
    #[arg(long = "annotator", value_name = "EMAIL")]
    annotators: Vec<String>,
    /// Consigne pour les annotateurs / What annotators are told
    #[arg(long, default_value = "")]
    instructions: String,
    /// Une personne a relu les lignes et n’y a trouvé personne : elles sont gardées / A person checked the rows: they are kept
    #[arg(long)]
    checked: bool,
    /// Administration, par son nom ou numéro ; sinon celle de l’échantillon / Organization; the sample’s otherwise
    #[arg(long)]
    organization: Option<String>,
    #[command(flatten)]
    source: Source,
    /// En JSON / As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Export {
    /// Numéro de la campagne / Number of the campaign
    id: i64,
    /// La table de preuves de `guichet eval grid score` / The table of evidence of `guichet eval grid score`
    #[arg(long, conflicts_with_all = ["annotators", "folder", "items", "hold"])]
    evidence: bool,
    /// Seulement ce qu’a répondu ce candidat / Only what this candidate answered
    #[arg(long, requires = "evidence")]
    candidate: Option<String>,
    /// Adresse d’un annotateur ; à répéter, avec --folder / Address of an annotator; again for others, with --folder
    #[arg(long = "annotator", value_name = "EMAIL", required_unless_present = "evidence")]
    annotators: Vec<String>,
    /// Dossier où écrire un fichier par annotateur / Folder for one file an annotator
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Éléments par annotateur, au plus / Items of each annotator, at most
    #[arg(long, default_value_t = 10_000)]
    items: usize,
    /// Temps pour lequel ils sont confiés / How long they are held
    #[arg(long, default_value = "14d", value_parser = span)]
    hold: Span,
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
pub struct Import {
    /// Numéro de la campagne / Number of the campaign
    id: i64,
    /// Fichiers remplis, ou - / Filled files, or -
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    source: Source,
    /// En JSON / As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Figures {
    /// Numéro de la campagne / Number of the campaign
    id: i64,
    /// Niveau de confiance / Confidence level
    #[arg(long, default_value_t = 0.95)]
    level: f64,
    /// Rééchantillonnages / Resamples
    #[arg(long, default_value_t = 2_000)]
    resamples: usize,
    /// Graine des rééchantillonnages / Seed of the resamples
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    source: Source,
}

fn span(said: &str) -> Result<Span, String> {
    Span::parse(said).ok_or_else(|| "écrivez 30m, 12h, 14d / write 30m, 12h, 14d".to_owned())
}

async fn find(database: &Database, id: i64) -> Result<Campaign, Failure> {
    let found = database.campaign(id).await?;
    found.ok_or_else(|| Failure(format!("il n’y a pas de campagne {id} / there is no campaign {id}")))
}

impl Command {
    pub async fn run(&self, out: &mut impl Write) -> Outcome {
        match self {
            Command::Create(create) => create.run(out).await,
            Command::List { source, json } => list(&source.database().await?, *json, out).await,
            Command::Close { id, source } => {
                let database = source.database().await?;
                let campaign = find(&database, *id).await?;
                let mut change = database.edit(Actor::CLI).await?;
                change.close_campaign(campaign.id, true).await?;
                change.commit().await?;
                Ok(writeln!(out, "Campagne {id} close / closed")?)
            }
            Command::Export(export) => export.run(out).await,
            Command::Import(import) => import.run(out).await,
            Command::Agreement(figures) => figures.run(out, |results, how| told(&results.agreement(how))).await,
            Command::Pairs(figures) => figures.run(out, |results, how| told(&results.pairs(how.level))).await,
            Command::Rankings(figures) => figures.run(out, |results, how| told(&results.rankings(how.level))).await,
        }
    }
}

fn told(figures: &impl Serialize) -> Result<String, Failure> {
    Ok(serde_json::to_string_pretty(figures)?)
}

impl Figures {
    async fn run(
        &self,
        out: &mut impl Write,
        compute: impl Fn(&Results, Settings) -> Result<String, Failure>,
    ) -> Outcome {
        let settings = Settings { level: Level::new(self.level)?, resamples: self.resamples, seed: self.seed };
        let database = self.source.database().await?;
        let campaign = find(&database, self.id).await?;
        let results = Results::load(&database, campaign).await?;
        Ok(writeln!(out, "{}", compute(&results, settings)?)?)
    }
}

async fn list(database: &Database, json: bool, out: &mut impl Write) -> Outcome {
    let mut all = Vec::new();
    for campaign in database.campaigns(&Reach::Everything, None, 1_000, 0).await? {
        let progress = database.campaign_progress(&campaign).await?;
        if json {
            all.push(serde_json::json!({"campaign": campaign, "progress": progress}));
            continue;
        }
        let state = if campaign.closed.is_some() { " (close / closed)" } else { "" };
        writeln!(
            out,
            "{:>5}  {}  {} / {} faits / done, {} partis / purged  {}{state}",
            campaign.id, campaign.made, progress.complete, progress.items, progress.purged, campaign.name
        )?;
    }
    if json {
        writeln!(out, "{}", serde_json::to_string(&all)?)?;
    }
    Ok(())
}

/// Rows of a JSONL file; lines that are none, with their numbers.
fn rows(file: &Path) -> Result<Vec<Row>, Failure> {
    let (mut rows, mut broken) = (Vec::new(), Vec::new());
    let text = String::from_utf8(bytes(file)?).map_err(|_| Failure(format!("{}: UTF-8 ?", file.display())))?;
    for (line, number) in text.lines().zip(1_u64..).filter(|(line, _)| !line.trim().is_empty()) {
        match serde_json::from_str(line) {
            Ok(row) => rows.push(row),
            Err(error) => {
                let at = error.to_string();
                broken.push(Broken::new(number, format!("ce n’est pas un élément : {at}"), format!("no item: {at}")));
            }
        }
    }
    match broken.is_empty() {
        true => Ok(rows),
        false => Err(Failure(broken.iter().map(|line| format!("{}: {line}\n", file.display())).collect())),
    }
}

impl Create {
    async fn run(&self, out: &mut impl Write) -> Outcome {
        let database = self.source.database().await?;
        let organization_id = match (&self.organization, self.sample) {
            (Some(said), _) => Some(organization::find(&database, said).await?.id),
            (None, Some(sample)) => {
                let found = database.sample(&Reach::Everything, sample).await?;
                let none = || Failure(format!("il n’y a pas d’échantillon {sample} / there is no sample {sample}"));
                found.ok_or_else(none)?.organization_id
            }
            (None, None) => None,
        };
        let mut annotators = Vec::with_capacity(self.annotators.len());
        for email in &self.annotators {
            annotators.push(member::find(&database, email).await?.id);
        }
        let mut given = Vec::new();
        for file in &self.rows {
            given.extend(rows(file)?);
        }
        let ask = Ask {
            name: self.name.clone(),
            organization_id,
            instructions: self.instructions.clone(),
            grid: self.grid(&database, organization_id).await?,
            criteria: self.criteria.clone(),
            sample_id: self.sample,
            rows: given,
            per_item: self.per_item,
            seed: self.seed,
            lock: self.lock,
            annotators,
            checked: self.checked,
        };
        let made = campaign::create(&database, Actor::CLI, ask).await?;
        let progress = database.campaign_progress(&made).await?;
        if self.json {
            return Ok(writeln!(out, "{}", serde_json::json!({"campaign": made, "progress": progress}))?);
        }
        writeln!(
            out,
            "Campagne / Campaign {}: {} élément(s) / items, {} étalon(s) / gold, {} par élément / people each\n{} {}",
            made.id, progress.items, progress.gold, made.per_item, made.grid, made.grid_hash
        )?;
        Ok(())
    }

    /// The name of the grid; one that is a file is stored first.
    async fn grid(&self, database: &Database, organization: Option<i64>) -> Result<String, Failure> {
        let file = Path::new(&self.grid);
        if !file.is_file() {
            return Ok(self.grid.clone());
        }
        let document = text(file)?;
        let read = grid::read(&document)?;
        let name = grid::name(&read);
        let mut change = database.edit(Actor::CLI).await?;
        change.store_grid(organization, &name, &read.hash, &document).await?;
        change.commit().await?;
        Ok(name.to_string())
    }
}

impl Export {
    async fn run(&self, out: &mut impl Write) -> Outcome {
        let database = self.source.database().await?;
        let campaign = find(&database, self.id).await?;
        if self.evidence {
            let results = Results::load(&database, campaign).await?;
            return Ok(out.write_all(&results.evidence(self.candidate.as_deref())?)?);
        }
        let mut members = Vec::with_capacity(self.annotators.len());
        for email in &self.annotators {
            let found = member::find(&database, email).await?;
            if !campaign.annotators.is_empty() && !campaign.annotators.contains(&found.id) {
                return Err(Failure(format!("{email} n’annote pas cette campagne / does not annotate this campaign")));
            }
            members.push(found.id);
        }
        if self.folder.is_none() && members.len() > 1 {
            return Err(Failure("un fichier par annotateur : dites --folder / one file each: say --folder".to_owned()));
        }
        let hold = i64::try_from(self.hold.0.as_millis()).unwrap_or(i64::MAX);
        let until = now().saturating_add(hold);
        let dealt = sheet::deal(&database, &campaign, &members, self.items, until).await?;
        let read = grid::of(&database, &campaign).await?;
        let Some(folder) = &self.folder else {
            for (member, turns) in members.iter().zip(&dealt) {
                out.write_all(&sheet::write(&campaign, &read, *member, turns)?)?;
            }
            return Ok(());
        };
        std::fs::create_dir_all(folder)?;
        for ((email, member), turns) in self.annotators.iter().zip(&members).zip(&dealt) {
            let file = folder.join(format!("campaign-{}-{member}.csv", campaign.id));
            std::fs::write(&file, sheet::write(&campaign, &read, *member, turns)?)?;
            writeln!(out, "{}: {} élément(s) / items, {email}", file.display(), turns.len())?;
        }
        std::fs::write(folder.join(format!("campaign-{}.txt", campaign.id)), sheet::guide(&campaign, &read))?;
        Ok(())
    }
}

impl Import {
    async fn run(&self, out: &mut impl Write) -> Outcome {
        let database = self.source.database().await?;
        let campaign = find(&database, self.id).await?;
        let mut aside = 0;
        for file in &self.files {
            let name = file.display();
            let table = Table::read(&bytes(file)?).map_err(|refusal| Failure(format!("{name}: {refusal}")))?;
            let done = sheet::read(&database, &campaign, &table).await?;
            aside += done.set_aside.len();
            if self.json {
                let file = name.to_string();
                writeln!(out, "{}", serde_json::json!({"file": file, "imported": done}))?;
                continue;
            }
            writeln!(
                out,
                "{name}: {} prise(s) / taken, {} déjà là / there already, {} à faire / to do, {} de côté / set aside",
                done.taken,
                done.again,
                done.untouched,
                done.set_aside.len()
            )?;
            for broken in &done.set_aside {
                writeln!(out, "  {broken}")?;
            }
        }
        match aside {
            0 => Ok(()),
            n => Err(Failure(format!("{n} ligne(s) mise(s) de côté / line(s) set aside"))),
        }
    }
}
