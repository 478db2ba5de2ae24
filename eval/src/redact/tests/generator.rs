//! Made-up personal data in the ways French people write them, and texts that only look so.

use super::super::Kind;
use crate::random::Random;

fn pick<'a>(random: &mut Random, from: &[&'a str]) -> &'a str {
    from[random.below(from.len() as u32) as usize]
}

fn digits(random: &mut Random, count: usize) -> String {
    (0..count).map(|_| char::from(b'0' + random.below(10) as u8)).collect()
}

/// A pattern in which # is a digit.
fn filled(random: &mut Random, pattern: &str) -> String {
    pattern.chars().map(|c| if c == '#' { char::from(b'0' + random.below(10) as u8) } else { c }).collect()
}

fn grouped(text: &str, sizes: &[usize], gap: &str) -> String {
    let (mut groups, mut rest) = (Vec::new(), text);
    for size in sizes.iter().copied().chain(std::iter::repeat(4)) {
        if rest.is_empty() {
            break;
        }
        let (group, after) = rest.split_at(size.min(rest.len()));
        groups.push(group);
        rest = after;
    }
    groups.join(gap)
}

const FIRST: &[&str] = &[
    "Marie",
    "Jean",
    "Élodie",
    "Jean-Pierre",
    "Anne-Sophie",
    "Mohamed",
    "Fatoumata",
    "Loïc",
    "Gaëlle",
    "Émile",
    "Chloé",
    "Nguyen",
    "Aïcha",
    "Yves",
    "Ségolène",
    "Thibault",
];
const LAST: &[&str] = &[
    "Durand",
    "Lefèvre",
    "Le Goff",
    "de La Tour",
    "d'Alembert",
    "Ben Salah",
    "N'Diaye",
    "MARTIN",
    "O'Connor",
    "Dupont-Moretti",
    "du Plessis",
    "Traoré",
    "Müller",
    "Van den Berghe",
    "L'Hermitte",
    "Garcia",
    "Haddad",
    "DE OLIVEIRA",
    "Saint-Exupéry",
];
const FRAMES: &[&str] = &[
    "Bonjour, voici mes coordonnées : {}. Merci de votre retour.",
    "Je vous contacte au sujet de mon dossier ({}) déposé en mars.",
    "{}",
    "Le demandeur indique {} dans le formulaire, puis signe.",
    "- contact : {}\n- objet : renouvellement",
    "On m’a dit d’utiliser « {} », est-ce exact ?",
    "Réponse attendue à {} ; dossier complet.",
];

/// A text with `{}` where the datum goes, and the datum. For names, the frame holds the civility.
pub(super) fn planted(random: &mut Random, kind: Kind) -> (String, String) {
    let frame = pick(random, FRAMES).to_owned();
    match kind {
        Kind::Email => (frame, email(random)),
        Kind::Phone => (frame, phone(random)),
        Kind::Nir => (frame, nir(random)),
        Kind::Iban => (frame, iban(random)),
        Kind::Card => (frame, card(random)),
        Kind::Address => (frame, address(random)),
        Kind::Name => name(random),
    }
}

fn plain(name: &str) -> String {
    let folded = name.to_lowercase().replace([' ', '\''], "");
    folded
        .chars()
        .map(|c| match c {
            'é' | 'è' | 'ê' | 'ë' => 'e',
            'ï' => 'i',
            'ü' => 'u',
            'ç' => 'c',
            c => c,
        })
        .collect()
}

fn email(random: &mut Random) -> String {
    let (first, last) = (plain(pick(random, FIRST)), plain(pick(random, LAST)));
    let domain = pick(
        random,
        &["gmail.com", "orange.fr", "interieur.gouv.fr", "mairie-lyon.example.fr", "la-poste.net", "sub.univ-x.eu"],
    );
    let local = match random.below(5) {
        0 => format!("{first}.{last}"),
        1 => format!("{first}_{last}{}", digits(random, 2)),
        2 => format!("{}{last}", &first[..1]),
        3 => format!("{first}+impots"),
        _ => format!("{}.{}", first.to_uppercase(), last.to_uppercase()),
    };
    let at = pick(random, &["@", "@", "@", "@", " [at] ", "(at)"]);
    format!("{local}{at}{domain}")
}

fn phone(random: &mut Random) -> String {
    let pattern = pick(
        random,
        &[
            "06 ## ## ## ##",
            "07########",
            "01.##.##.##.##",
            "04-##-##-##-##",
            "+33 6 ## ## ## ##",
            "+336########",
            "+33 (0)6 ## ## ## ##",
            "0033 6 ## ## ## ##",
            "00336########",
            "06\u{a0}##\u{a0}##\u{a0}##\u{a0}##",
            "06/##/##/##/##",
            "0262 ## ## ##",
            "+262 692 ## ## ##",
            "+32 470 ## ## ##",
            "+41 79 ### ## ##",
            "+44 20 7### ####",
            "06 ### ### ##",
            "(0)6 ## ## ## ##",
            "+1 514 555 ####",
            "0612 ### ###",
        ],
    );
    filled(random, pattern)
}

fn nir(random: &mut Random) -> String {
    let sex = pick(random, &["1", "2"]);
    let month = format!("{:02}", 1 + random.below(12));
    let department = match random.below(6) {
        0 => "2A".to_owned(),
        1 => "2B".to_owned(),
        2 => "99".to_owned(),
        _ => format!("{:02}", 1 + random.below(95)),
    };
    let body = format!("{sex}{}{month}{department}{}{}", digits(random, 2), digits(random, 3), digits(random, 3));
    let number: u64 = body.replace("2A", "19").replace("2B", "18").parse().unwrap();
    let whole = format!("{body}{:02}", 97 - number % 97);
    match random.below(4) {
        0 => whole,
        1 => grouped(&whole, &[1, 2, 2, 2, 3, 3, 2], " "),
        2 => grouped(&whole, &[13, 2], " "),
        _ => grouped(&whole, &[1, 2, 2, 2, 3, 3, 2], "\u{a0}"),
    }
}

fn iban(random: &mut Random) -> String {
    let (country, account) = match random.below(5) {
        0 => ("DE", digits(random, 18)),
        1 => ("BE", digits(random, 12)),
        2 => ("FR", format!("{}M{}", digits(random, 13), digits(random, 9))),
        _ => ("FR", digits(random, 23)),
    };
    let rest = format!("{account}{country}00").chars().fold(0_u32, |rest, sign| {
        let value = sign.to_digit(36).unwrap();
        (if value < 10 { rest * 10 + value } else { rest * 100 + value }) % 97
    });
    let whole = format!("{country}{:02}{account}", 98 - rest);
    match random.below(4) {
        0 => whole,
        1 => whole.to_lowercase(),
        2 => grouped(&whole, &[4], "\u{a0}"),
        _ => grouped(&whole, &[4], " "),
    }
}

fn card(random: &mut Random) -> String {
    let (start, length, groups): (&str, usize, &[usize]) = match random.below(4) {
        0 => ("37", 15, &[4, 6, 5]),
        1 => ("5", 16, &[4]),
        2 => ("2221", 16, &[4]),
        _ => ("4", 16, &[4]),
    };
    let body = format!("{start}{}", digits(random, length - 1 - start.len()));
    let whole = (0..10).map(|key| format!("{body}{key}")).find(|number| super::super::checks::card(number)).unwrap();
    match random.below(3) {
        0 => whole,
        1 => grouped(&whole, groups, " "),
        _ => grouped(&whole, groups, "-"),
    }
}

fn address(random: &mut Random) -> String {
    let number = 1 + random.below(199);
    let number = match random.below(5) {
        0 => format!("{number} bis"),
        1 => format!("{number},"),
        2 => format!("{number}ter"),
        _ => number.to_string(),
    };
    let way = pick(
        random,
        &[
            "rue de la République",
            "avenue du Général-de-Gaulle",
            "boulevard Saint-Michel",
            "rue du 8 Mai 1945",
            "place de la Mairie",
            "chemin des Vignes",
            "impasse Jean Moulin",
            "allée des Tilleuls",
            "quai de l'Horloge",
            "av. Victor Hugo",
            "bd Voltaire",
            "cours Gambetta",
            "route de Lyon",
            "rue Édouard Vaillant",
            "RUE DE LA PAIX",
            "Rue du Faubourg Saint-Honoré",
            "rue des lilas",
            "square d'Italie",
            "résidence Les Pins",
            "passage des Panoramas",
            "rue de l’Abbé Grégoire",
            "rue Jean-Jacques Rousseau",
        ],
    );
    let town = pick(
        random,
        &[
            "75001 Paris",
            "35000 Rennes",
            "13100 Aix-en-Provence",
            "97400 Saint-Denis",
            "69003 LYON CEDEX 03",
            "2B",
            "23000 Guéret",
            "76600 Le Havre",
        ],
    );
    match random.below(6) {
        0 => format!("{number} {way}"),
        1 => format!("{number} {way}\n{}", if town == "2B" { "20200 Bastia" } else { town }),
        2 if town != "2B" => format!("BP {} {town}", 10 + random.below(900)),
        3 if town != "2B" => format!("lieu-dit Le Bourg, {town}"),
        _ => format!("{number} {way}, {}", if town == "2B" { "20200 Bastia" } else { town }),
    }
}

fn name(random: &mut Random) -> (String, String) {
    let civility = pick(
        random,
        &[
            "M.",
            "Mme",
            "Mlle",
            "Monsieur",
            "Madame",
            "Mr",
            "Dr",
            "Docteur",
            "Maître",
            "Me",
            "Pr",
            "MME",
            "Madame la députée",
            "Monsieur le maire",
        ],
    );
    let (first, last) = (pick(random, FIRST), pick(random, LAST));
    let name = match random.below(4) {
        0 => last.to_owned(),
        1 => format!("{}. {last}", first.chars().next().unwrap()),
        2 => format!("{first} {}", last.to_uppercase()),
        _ => format!("{first} {last}"),
    };
    let frame = pick(
        random,
        &[
            "Le courrier de {c} {} a été reçu hier.",
            "{c} {}, résidant en France, demande un titre.",
            "Bonjour {c} {},\nvotre dossier est complet.",
            "rendez-vous avec {c} {} (service des étrangers)",
            "Signé : {c} {}",
            "C’est {c} {} qui instruit la demande.",
        ],
    );
    (frame.replace("{c}", civility), name)
}

/// Nothing here is personal.
pub(super) const HARD_NEGATIVES: &[&str] = &[
    "Madame, Monsieur, je vous prie d’agréer mes salutations.",
    "Madame la Préfète a signé l’arrêté.",
    "Monsieur le Maire préside la séance.",
    "Monsieur le Président de la République",
    "Mesdames et Messieurs les députés",
    "M. le Directeur général des Finances publiques",
    "Madame la Ministre déléguée chargée des comptes publics",
    "Messieurs, la séance est ouverte.",
    "Cher Monsieur, Vous trouverez ci-joint le formulaire.",
    "Madame la Directrice, Je vous écris au sujet de mon dossier.",
    "Me voici de retour ; Me trompé-je ?",
    "Le SIRET 552 100 554 00013 est celui de l’établissement.",
    "SIRET : 73282932000074",
    "SIREN 732 829 320",
    "Le montant est de 1 234 567 890 euros.",
    "Il a payé 4 970 101 234 567 890 centimes.",
    "Référence de dossier : 2024-0000123456",
    "Dossier n° 1123456789012",
    "Le 01/02/2024 à 10:30, puis le 03/04/2024 à 11:45",
    "Version 1.2.3.4 du logiciel, adresse 192.168.10.12",
    "Article L. 231-1 du code des relations entre le public et l’administration",
    "La loi n° 78-17 du 6 janvier 1978",
    "Les numéros 15, 17, 18, 112 et 3919 sont gratuits.",
    "Il reste 2 places de parking et 3 cours de français.",
    "10 cours de soutien, 4 passages par jour, 2 routes fermées",
    "Le carrefour de la rue de Rivoli est fermé.",
    "La place de la Concorde est piétonne le dimanche.",
    "Il y a 12 avenues et 40 rues dans ce quartier.",
    "75001 est un code postal de Paris.",
    "Le code postal 35000 couvre Rennes.",
    "ISBN 978-2-07-036822-8",
    "EAN 3017620422003",
    "Le NIR comporte 15 chiffres, par exemple 2 55 08 14 168 025 39.",
    "FR14 2004 1010 0505 0001 3M02 607 n’est pas un IBAN valable.",
    "La carte 4111 1111 1111 1112 est refusée par la clé.",
    "TVA intracommunautaire FR40303265045",
    "UUID 550e8400-e29b-41d4-a716-446655440000",
    "SHA-256 : e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "Utilisez @media et @pytest.fixture dans le code.",
    "Le compte @prefecture75 a publié un message.",
    "pi vaut 3.1415926535 et e vaut 2.7182818284",
    "coordonnées 48.8566140, 2.3522219",
    "0,0612345678 est un taux.",
    "Température : -06.12 degrés, puis 34.56",
    "Le décret 2019-1234 du 25 novembre 2019 modifie l’article 6.",
    "de 1990 à 2024, soit 34 ans, 12 mois et 5 jours",
    "Scores : 10 20 30 40 50 60 70 80",
    "Le vol AF1234 part à 06 h 45.",
    "page 12, rue barrée jusqu’au 30 juin",
    "Il a 3 enfants et habite au 2e étage.",
    "Mme est l’abréviation de Madame ; M. celle de Monsieur.",
    "Le Dr signifie docteur.",
    "Code INSEE 75056, NAF 8411Z",
    "L’avenue la plus longue mesure 1 700 m.",
    "Taux de 06 % en 2024, 07 % en 2025",
    "Prix : 12 place assise, 8 place debout",
    "Formulaire Cerfa n° 12100*02",
    "Marché n° 2024 06 12 34 56 789 01",
    "La séquence 1 2 3 4 5 6 7 8 9 10 11 12",
    "Monsieur Le Président, la parole est à vous.",
];
