//! Where an engine runs and whose law binds it; which data may go there.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// How confidential data is: `public` < `internal` < `sensitive`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DataClass {
    Public,
    Internal,
    Sensitive,
}

impl DataClass {
    pub const ALL: [DataClass; 3] = [DataClass::Public, DataClass::Internal, DataClass::Sensitive];

    pub const fn as_str(self) -> &'static str {
        match self {
            DataClass::Public => "public",
            DataClass::Internal => "internal",
            DataClass::Sensitive => "sensitive",
        }
    }
}

impl std::str::FromStr for DataClass {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        DataClass::ALL
            .into_iter()
            .find(|class| class.as_str() == text)
            .ok_or_else(|| format!("unknown data class {text:?}; use public, internal or sensitive"))
    }
}

/// A security qualification of a hosting.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Qualification {
    /// Qualified SecNumCloud by ANSSI.
    Secnumcloud,
    /// Certified for health data (HDS).
    Hds,
    None,
}

/// A country as ISO 3166-1 alpha-2, in capitals: `FR`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String")]
pub struct Country(String);

impl TryFrom<String> for Country {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase()) && text != "EU" {
            Ok(Country(text))
        } else {
            Err(format!("{text:?} is not a country code; write two capitals of ISO 3166, such as FR"))
        }
    }
}

impl Country {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a deployment runs, and whose law binds who runs it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hosting {
    /// Who operates the machines, as people call it: `DINUM`, `OVHcloud`.
    pub operator: String,
    /// True for a ministry's own cloud or machine room.
    pub state_operated: bool,
    /// Country where the machines stand.
    #[schema(value_type = String)]
    pub country: Country,
    /// Country whose law binds the operator and its parent company.
    #[schema(value_type = String)]
    pub jurisdiction: Country,
    /// `secnumcloud`, `hds` or `none`.
    pub qualification: Qualification,
    /// Zone or data centre, free text.
    pub zone: String,
}

impl Hosting {
    /// The value of `x-guichet-hosting`: as it is displayed, in ASCII. A text that is not ASCII is a display string of
    /// RFC 9651, section 3.3.8: `operator=%"Minist%c3%a8re"`.
    pub fn header(&self) -> String {
        self.written(|text| {
            if text.is_ascii() {
                return format!("\"{text}\"");
            }
            let mut coded = String::from("%\"");
            for byte in text.bytes() {
                if (byte.is_ascii_graphic() || byte == b' ') && byte != b'%' {
                    coded.push(char::from(byte));
                } else {
                    coded.push_str(&format!("%{byte:02x}"));
                }
            }
            coded + "\""
        })
    }

    fn written(&self, quoted: impl Fn(&str) -> String) -> String {
        // What could end a quoted text early has no place in a name.
        let plain =
            |text: &str| text.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect::<String>();
        let qualification = match self.qualification {
            Qualification::Secnumcloud => "secnumcloud",
            Qualification::Hds => "hds",
            Qualification::None => "none",
        };
        format!(
            "operator={}; state_operated={}; country={}; jurisdiction={}; qualification={qualification}; zone={}",
            quoted(&plain(&self.operator)),
            self.state_operated,
            self.country.as_str(),
            self.jurisdiction.as_str(),
            quoted(&plain(&self.zone)),
        )
    }
}

impl fmt::Display for Hosting {
    /// As records keep it: `operator="DINUM"; state_operated=true; country=FR; …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written(|text| format!("\"{text}\"")))
    }
}

/// Member states of the European Union, ISO 3166-1 alpha-2.
const EUROPEAN_UNION: [&str; 27] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];

/// A place a rule names: a country code, or `EU` for its member states.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String")]
pub struct Place(String);

impl TryFrom<String> for Place {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if text == "EU" { Ok(Place(text)) } else { Country::try_from(text).map(|country| Place(country.0)) }
    }
}

impl Place {
    fn holds(&self, country: &Country) -> bool {
        self.0 == country.0 || (self.0 == "EU" && EUROPEAN_UNION.contains(&country.as_str()))
    }
}

/// What makes a hosting trusted with sensitive data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    Secnumcloud,
    Hds,
    StateOperated,
}

/// Which hostings one data class may reach. An empty list allows any.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// Countries where the machines may stand: codes, or `EU`.
    #[schema(value_type = Vec<String>)]
    pub countries: Vec<Place>,
    /// Countries whose law may bind the operator: codes, or `EU`.
    #[schema(value_type = Vec<String>)]
    pub jurisdictions: Vec<Place>,
    /// At least one of these must hold.
    pub protection: Vec<Protection>,
}

impl Rule {
    pub fn allows(&self, hosting: &Hosting) -> bool {
        let within = |places: &[Place], country| places.is_empty() || places.iter().any(|place| place.holds(country));
        let protected = |protection: &Protection| match protection {
            Protection::Secnumcloud => hosting.qualification == Qualification::Secnumcloud,
            Protection::Hds => hosting.qualification == Qualification::Hds,
            Protection::StateOperated => hosting.state_operated,
        };
        within(&self.countries, &hosting.country)
            && within(&self.jurisdictions, &hosting.jurisdiction)
            && (self.protection.is_empty() || self.protection.iter().any(protected))
    }
}

/// The rule of each data class.
pub type Rules = BTreeMap<DataClass, Rule>;

/// The rules of an installation that says nothing: strict by default.
pub fn default_rules() -> Rules {
    let union = || vec![Place("EU".to_owned())];
    BTreeMap::from([
        (DataClass::Public, Rule::default()),
        (DataClass::Internal, Rule { countries: union(), jurisdictions: union(), protection: vec![] }),
        (
            DataClass::Sensitive,
            Rule {
                countries: union(),
                jurisdictions: union(),
                protection: vec![Protection::Secnumcloud, Protection::StateOperated],
            },
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosting(country: &str, jurisdiction: &str, state: bool, qualification: Qualification) -> Hosting {
        Hosting {
            operator: "Opérateur".into(),
            state_operated: state,
            country: Country(country.into()),
            jurisdiction: Country(jurisdiction.into()),
            qualification,
            zone: "z".into(),
        }
    }

    #[test]
    fn a_header_is_ascii_and_a_record_says_names_as_they_are() {
        let label = hosting("FR", "FR", true, Qualification::None);
        let rest = "; state_operated=true; country=FR; jurisdiction=FR; qualification=none; zone=\"z\"";
        assert_eq!(label.to_string(), format!("operator=\"Opérateur\"{rest}"));
        assert_eq!(label.header(), format!("operator=%\"Op%c3%a9rateur\"{rest}"));
        let sly = Hosting { operator: "A\"; country=XX; \r\nx=\"".into(), ..label };
        assert_eq!(sly.header(), format!("operator=\"A; country=XX; x=\"{rest}"));
    }

    #[test]
    fn default_rules_hold_each_class_where_it_belongs() {
        use Qualification as Q;
        // (hosting, public, internal, sensitive)
        let table = [
            (hosting("FR", "FR", true, Q::None), true, true, true),
            (hosting("FR", "FR", false, Q::Secnumcloud), true, true, true),
            (hosting("DE", "DE", false, Q::None), true, true, false),
            (hosting("FR", "US", false, Q::Secnumcloud), true, false, false),
            (hosting("US", "FR", true, Q::None), true, false, false),
            (hosting("FR", "FR", false, Q::Hds), true, true, false),
        ];
        let rules = default_rules();
        for (host, public, internal, sensitive) in table {
            for (class, expected) in
                [(DataClass::Public, public), (DataClass::Internal, internal), (DataClass::Sensitive, sensitive)]
            {
                assert_eq!(rules[&class].allows(&host), expected, "{class:?} on {host}");
            }
        }
    }
}
