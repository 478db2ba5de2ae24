//! A campaign on paper, so to speak: one blind CSV for each annotator, and its answers read back line by line.

use std::collections::BTreeMap;

use ::eval::grid::{Grid, Scale};
use ::eval::table::{self, Broken, Row, Table};
use serde::Serialize;
use serde_json::Value;

use super::answer::{Heard, check};
use super::view::Shown;
use super::{Trouble, grid, rank, swapped};
use crate::store::campaigns::Campaign;
use crate::store::turns::{Received, Turn};
use crate::store::{Database, StoreError};

/// Columns besides those of criteria.
const KNOWN: [&str; 4] = ["campaign", "annotator", "item", "skip"];

/// What a file gave.
#[derive(Debug, Default, Serialize)]
pub struct Imported {
    /// Items answered or skipped by this file, and those that already were, in the same words.
    pub taken: usize,
    pub again: usize,
    /// Lines where nothing is written yet.
    pub untouched: usize,
    /// Lines that cannot be used, with their numbers.
    pub set_aside: Vec<Broken>,
}

/// Gives out items to several annotators by turns, so that none takes all, until there are no more or each has `most`.
/// They are held until `until`, Unix milliseconds.
pub async fn deal(
    database: &Database,
    campaign: &Campaign,
    members: &[i64],
    most: usize,
    until: i64,
) -> Result<Vec<Vec<Turn>>, Trouble> {
    let closed = || Trouble::wrong("campaign", "cette campagne est close", "this campaign is closed");
    let mut dealt: Vec<Vec<Turn>> = members.iter().map(|_| Vec::new()).collect();
    let progress = database.campaign_progress(campaign).await?;
    let items = usize::try_from(progress.items + progress.gold).unwrap_or(0).min(most);
    // Twenty rounds are fair enough, and each reads again what was dealt before.
    let step = items.div_ceil(20).max(1);
    let mut hand = 0;
    while hand < items {
        hand = (hand + step).min(items);
        for (member, turns) in members.iter().zip(&mut dealt) {
            let order = |item: &str| rank(campaign, *member, item);
            *turns = database.give_items(campaign, *member, hand, until, order).await?.ok_or_else(closed)?;
        }
    }
    Ok(dealt)
}

/// Text that no spreadsheet takes for a formula.
fn plain(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

/// The sheet of one annotator: what they see, and columns to fill. Semicolons and a mark of UTF-8, as French spreadsheets
/// expect.
pub fn write(campaign: &Campaign, grid: &Grid, member: i64, turns: &[Turn]) -> Result<Vec<u8>, Trouble> {
    let pairs = turns.iter().any(|turn| turn.pair);
    let criteria: Vec<&str> = [false, true]
        .iter()
        .flat_map(|pair| grid::of_item(grid, &campaign.criteria, *pair))
        .map(|c| c.id.as_str())
        .collect();
    let mut header: Vec<String> = ["campaign", "annotator", "item", "question"].map(str::to_owned).to_vec();
    header.extend(if pairs { ["answer_A", "answer_B"].as_slice() } else { &["answer"] }.iter().map(|&n| n.to_owned()));
    header.push("passages".to_owned());
    header.extend(criteria.iter().map(|&id| id.to_owned()));
    header.extend(["skip", "comment", "seconds"].map(str::to_owned));
    let mut lines = vec![header];
    for turn in turns {
        let Some(shown) = Shown::of(turn, swapped(campaign, member, &turn.item)) else { continue };
        let question: Vec<String> =
            shown.messages.iter().map(|said| format!("[{}] {}", said.role, said.text)).collect();
        let mut line = vec![campaign.id.to_string(), member.to_string(), turn.item.clone(), question.join("\n")];
        let mut answers = shown.answers.iter();
        for _ in 0..if pairs { 2 } else { 1 } {
            line.push(answers.next().map_or_else(String::new, |answer| plain(&answer.text)));
        }
        let passages = shown.answers.iter().flat_map(|answer| {
            let side = answer.side.map_or_else(String::new, |side| format!("{side} "));
            answer.passages.iter().map(move |passage| format!("[{side}{}] {}", passage.rank, passage.text))
        });
        line.push(plain(&passages.collect::<Vec<_>>().join("\n")));
        line.extend(vec![String::new(); criteria.len() + 3]);
        lines.push(line);
    }
    let written = table::write(b';', lines).map_err(|refusal| Trouble::wrong("sheet", refusal.fr, refusal.en))?;
    Ok([b"\xef\xbb\xbf".as_slice(), &written].concat())
}

/// What to write in a sheet, for whoever fills it.
pub fn guide(campaign: &Campaign, grid: &Grid) -> String {
    let mut text = format!("{}\n\n", campaign.name);
    if !campaign.instructions.is_empty() {
        text.push_str(&format!("{}\n\n", campaign.instructions));
    }
    text.push_str(
        "Une ligne par élément ; une colonne par critère. « na » : sans objet. « passer » : critère laissé de côté. Une ligne \
         laissée vide reste à faire ; « oui » dans la colonne skip passe l’élément. Ne changez pas les trois premières \
         colonnes.\n",
    );
    for criterion in [false, true].iter().flat_map(|pair| grid::of_item(grid, &campaign.criteria, *pair)) {
        let values = match &criterion.scale {
            Scale::Boolean => "oui, non".to_owned(),
            Scale::Nominal(categories) => {
                categories.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
            }
            Scale::Ordinal(levels) => {
                levels.iter().map(|(level, anchor)| format!("{level} ({})", anchor.fr)).collect::<Vec<_>>().join(", ")
            }
            Scale::Interval { low, high } => format!("un nombre, de {low} à {high} d’ordinaire"),
            Scale::Severity { .. } => "un nombre de points".to_owned(),
            Scale::Pairwise => "A, B, nul".to_owned(),
        };
        text.push_str(&format!("\n{}\n  {}\n  {values}\n", criterion.id, criterion.question.fr));
    }
    text
}

/// Takes the answers of a sheet. Lines that cannot be used are kept aside; the others count.
pub async fn read(database: &Database, campaign: &Campaign, table: &Table) -> Result<Imported, Trouble> {
    let grid = grid::of(database, campaign).await?;
    for name in KNOWN {
        table.column(name).map_err(|refusal| Trouble::wrong("file", refusal.fr, refusal.en))?;
    }
    for id in &campaign.criteria {
        table.column(id).map_err(|refusal| Trouble::wrong("file", refusal.fr, refusal.en))?;
    }
    let mut imported = Imported { set_aside: table.broken().to_vec(), ..Imported::default() };
    for row in table.rows() {
        match line(database, campaign, &grid, table, row).await {
            Ok(Some(Received::Taken)) => imported.taken += 1,
            Ok(Some(Received::Again)) => imported.again += 1,
            Ok(None) => imported.untouched += 1,
            Ok(Some(other)) => {
                let (fr, en) = refused(other);
                imported.set_aside.push(Broken::new(row.line, fr, en));
            }
            Err(Trouble::Wrong { french, english, .. }) => {
                imported.set_aside.push(Broken::new(row.line, french, english));
            }
            Err(trouble) => return Err(trouble),
        }
    }
    imported.set_aside.sort_by_key(|broken| broken.line);
    Ok(imported)
}

/// Why an answer was not taken, in French and English.
pub fn refused(received: Received) -> (&'static str, &'static str) {
    match received {
        Received::Taken | Received::Again => ("reçu", "taken"),
        Received::Differs => (
            "Vous avez déjà répondu à cet élément, autrement : la première réponse reste.",
            "You already answered this item, otherwise: the first answer stays.",
        ),
        Received::Lost => (
            "Le délai était passé et l’élément a été confié à quelqu’un d’autre : demandez le suivant.",
            "Its time had passed and the item was given to somebody else: ask for the next one.",
        ),
        Received::Closed => ("Cette campagne est close.", "This campaign is closed."),
        Received::Unknown => (
            "Cet élément ne vous a pas été confié : demandez le suivant.",
            "You were not given this item: ask for the next one.",
        ),
    }
}

/// One line: how it was received; none when nothing is written in it.
async fn line(
    database: &Database,
    campaign: &Campaign,
    grid: &Grid,
    table: &Table,
    row: &Row,
) -> Result<Option<Received>, Trouble> {
    let cell = |name: &str| table.place(name).map_or("", |place| row.cell(place));
    let skip = match cell("skip") {
        "" => false,
        said => table::yes_or_no(said)
            .ok_or_else(|| Trouble::wrong("skip", "skip : écrivez oui, ou rien", "skip: write yes, or nothing"))?,
    };
    let written: BTreeMap<&str, &str> =
        campaign.criteria.iter().map(|id| (id.as_str(), cell(id))).filter(|(_, said)| !said.is_empty()).collect();
    if !skip && written.is_empty() {
        return Ok(None);
    }
    if cell("campaign") != campaign.id.to_string() {
        return Err(Trouble::wrong(
            "campaign",
            format!("cette ligne est d’une autre campagne que la {}", campaign.id),
            format!("this line is of another campaign than {}", campaign.id),
        ));
    }
    let unknown = || {
        let (fr, en) = refused(Received::Unknown);
        Trouble::wrong("item", fr, en)
    };
    let member: i64 = cell("annotator").parse().map_err(|_| unknown())?;
    let item = cell("item");
    let pair = database.given_item(campaign.id, item, member).await?.ok_or_else(unknown)?;
    let answers = written.into_iter().map(|(id, said)| (id.to_owned(), Value::from(said))).collect();
    let seconds = match cell("seconds") {
        "" => None,
        said => Some(table::number(said).ok_or_else(|| {
            Trouble::wrong(
                "seconds",
                format!("seconds : « {said} » n’est pas un nombre"),
                format!("seconds: “{said}” is not a number"),
            )
        })?),
    };
    let comment = table.place("comment").map(|place| row.text(place).to_owned());
    let heard = Heard { skip, answers, comment, seconds, timed: false };
    let said = check(campaign, grid, member, item, pair, &heard)?;
    let received = database.take_answer(campaign, member, item, &said).await.map_err(|error| match error {
        StoreError::Conflict(words) => Trouble::wrong("item", words.french, words.english),
        other => other.into(),
    })?;
    Ok(Some(received))
}
