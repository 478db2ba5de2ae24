//! From plans and what the database sets to the chain of limits of one caller and model, computed once and kept.

use std::collections::HashMap;
use std::sync::Arc;

use super::rule::{Chain, CounterId, Guarantees, Kind, Limit, Scope};
use crate::config::Config;
use crate::config::limits::{ALL_MODELS, Plan};
use crate::policy::identity::Principal;
use crate::store::overrides::{Own, Setting};

/// Whom a request is counted for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Payer {
    pub organization: i64,
    /// 0 for a member's key, which calls no model.
    pub project: i64,
    pub key: Option<crate::policy::key::KeyId>,
    /// The member who made the key, or whose key it is, when they are of this organization.
    pub member: Option<i64>,
}

impl Payer {
    /// `None` for a member of the instance.
    pub fn of(who: &Principal) -> Option<Payer> {
        Some(Payer {
            organization: who.organization_id()?,
            project: who.project_id().unwrap_or(0),
            key: who.project().map(|_| who.key()),
            member: who.member_id().or_else(|| who.project()?.made_by),
        })
    }

    fn scopes(&self) -> impl Iterator<Item = Scope> {
        let project = (self.project != 0).then_some(Scope::Project(self.project));
        [
            Some(Scope::Organization(self.organization)),
            project,
            self.key.map(Scope::Key),
            self.member.map(Scope::Member),
        ]
        .into_iter()
        .flatten()
    }
}

/// How an organization and a project stand in line, and whether they may ask for priority.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TenantSettings {
    pub weight: u32,
    pub project_weight: u32,
    pub priority: bool,
}

impl Default for TenantSettings {
    fn default() -> Self {
        TenantSettings { weight: 1, project_weight: 1, priority: false }
    }
}

/// One limit of a holder, and where it comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ruling {
    pub models: Arc<str>,
    pub kind: Kind,
    pub max: u64,
    /// Set for this holder, rather than by its plan.
    pub own: bool,
}

/// The plans of one configuration, and what the database sets over them.
#[derive(Debug)]
pub struct Book {
    plans: HashMap<String, Arc<Sheet>>,
    default: Option<Arc<Sheet>>,
    groups: Groups,
    own: HashMap<i64, Own>,
}

type Groups = HashMap<Arc<str>, Vec<String>>;

/// One plan, ready to be looked up.
#[derive(Debug)]
pub struct Sheet {
    pub name: String,
    pub weight: u32,
    pub priority: bool,
    limits: ByScope,
    /// Of each model of the configuration, those that count it.
    by_model: HashMap<String, ByScope>,
}

/// What is counted under which name, and how much, for an organization, a project, a key and a member.
type ByScope = [Vec<(Arc<str>, Kind, u64)>; 4];

impl Sheet {
    fn new(name: &str, plan: &Plan, config: &Config, groups: &Groups) -> Sheet {
        let limits = plan.scopes().map(|(_, allowances)| {
            let each = allowances.iter().flat_map(|allowance| {
                let models: Arc<str> = allowance.models().into();
                allowance.limits().map(move |(_, kind, max)| (models.clone(), kind, max))
            });
            each.collect::<Vec<_>>()
        });
        let of = |model: &str| {
            limits.each_ref().map(|lines| lines.iter().filter(|line| covers(groups, &line.0, model)).cloned().collect())
        };
        let by_model = config.models.iter().map(|model| (model.id.clone(), of(&model.id))).collect();
        Sheet { name: name.to_owned(), weight: plan.weight, priority: plan.priority, limits, by_model }
    }

    fn of(&self, scope: Scope) -> &[(Arc<str>, Kind, u64)] {
        &self.limits[place(scope)]
    }

    /// The same, for one model; `None` for one that the configuration did not hold.
    fn of_model(&self, scope: Scope, model: &str) -> Option<&[(Arc<str>, Kind, u64)]> {
        self.by_model.get(model).map(|limits| &limits[place(scope)][..])
    }
}

fn place(scope: Scope) -> usize {
    match scope {
        Scope::Organization(_) => 0,
        Scope::Project(_) => 1,
        Scope::Key(_) => 2,
        Scope::Member(_) => 3,
    }
}

/// Whether what is counted under a name counts a model.
fn covers(groups: &Groups, models: &str, model: &str) -> bool {
    models == ALL_MODELS || models == model || groups.get(models).is_some_and(|ids| ids.iter().any(|id| id == model))
}

impl Book {
    pub fn new(config: &Config, own: HashMap<i64, Own>) -> Book {
        let groups: Groups =
            config.model_groups.iter().map(|(name, ids)| (Arc::from(name.as_str()), ids.clone())).collect();
        let sheet = |(name, plan): (&String, &Plan)| (name.clone(), Arc::new(Sheet::new(name, plan, config, &groups)));
        let plans: HashMap<String, Arc<Sheet>> = config.plans.iter().map(sheet).collect();
        Book {
            default: config.limits.default_plan.as_ref().and_then(|name| plans.get(name).cloned()),
            plans,
            groups,
            own,
        }
    }

    /// What the database sets for an organization.
    pub fn own(&self, organization: i64) -> Option<&Own> {
        self.own.get(&organization)
    }

    pub fn all_own(&self) -> HashMap<i64, Own> {
        self.own.clone()
    }

    pub fn plan_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.plans.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// The plan of an organization. One that the configuration no longer holds is the default one.
    pub fn plan(&self, own: Option<&Own>) -> Option<&Arc<Sheet>> {
        let named = own.and_then(|own| own.plan.as_ref());
        named.and_then(|name| self.plans.get(name)).or(self.default.as_ref())
    }

    pub fn tenant(&self, payer: &Payer) -> TenantSettings {
        let own = self.own(payer.organization);
        let plan = self.plan(own);
        let weight = own.and_then(|own| own.weight).or_else(|| plan.map(|plan| plan.weight));
        let project_weight = own.and_then(|own| own.share(payer.project).weight);
        TenantSettings {
            weight: weight.unwrap_or(1),
            project_weight: project_weight.unwrap_or(1),
            priority: plan.is_some_and(|plan| plan.priority),
        }
    }

    /// The limits on one holder, its plan's and its own.
    pub fn rulings(&self, own: Option<&Own>, scope: Scope) -> Vec<Ruling> {
        let plan = self.plan(own).map_or(&[][..], |plan| plan.of(scope));
        let mut rulings: Vec<Ruling> = Vec::with_capacity(plan.len());
        for (models, kind, max) in plan {
            rulings.push(Ruling { models: models.clone(), kind: *kind, max: *max, own: false });
        }
        for one in own.into_iter().flat_map(|own| own.overrides(scope)) {
            rulings.retain(|ruling| !(*ruling.models == *one.models && ruling.kind == one.kind));
            if let Some(max) = one.value {
                rulings.push(Ruling { models: one.models.as_str().into(), kind: one.kind, max, own: true });
            }
        }
        rulings
    }

    /// All limits of a payer; those that count a model, when one is given.
    pub fn chain(&self, payer: &Payer, model: Option<&str>) -> Chain {
        let own = self.own(payer.organization);
        let plan = self.plan(own);
        let mut limits: Vec<Limit> = Vec::with_capacity(8);
        for scope in payer.scopes() {
            // Most holders have their plan's limits and no other.
            if let (Some(plan), Some(model)) = (plan, model)
                && own.is_none_or(|own| own.overrides(scope).next().is_none())
                && let Some(lines) = plan.of_model(scope, model)
            {
                limits.extend(lines.iter().map(|(models, kind, max)| Limit {
                    id: CounterId { scope, models: models.clone(), kind: *kind },
                    max: *max,
                    guarantees: None,
                }));
                continue;
            }
            for ruling in self.rulings(own, scope) {
                if model.is_none_or(|model| covers(&self.groups, &ruling.models, model)) {
                    let id = CounterId { scope, models: ruling.models, kind: ruling.kind };
                    limits.push(Limit { id, max: ruling.max, guarantees: None });
                }
            }
        }
        if let Some(own) = own {
            share_out(own, payer.project, &mut limits);
        }
        Chain { organization: payer.organization, project: payer.project, limits: limits.into() }
    }

    /// Whether a model or group of this name is known, to be limited.
    pub fn knows(&self, models: &str, is_model: impl FnOnce(&str) -> bool) -> bool {
        models == ALL_MODELS || self.groups.contains_key(models) || is_model(models)
    }

    /// Why a setting cannot be: what it allows is above what the organization may use.
    pub fn above_organization(&self, own: &Own, scope: Scope, organization: i64, setting: &Setting) -> Option<Above> {
        if matches!(scope, Scope::Organization(_)) {
            return None;
        }
        let whole = self.rulings(Some(own), Scope::Organization(organization));
        setting.limits.iter().enumerate().find_map(|(index, line)| {
            let value = line.value?;
            let counts =
                |ruling: &&Ruling| ruling.kind == line.limit && covers(&self.groups, &ruling.models, &line.models);
            let most = whole.iter().filter(counts).map(|ruling| ruling.max).min()?;
            (value > most).then_some(Above { index, kind: line.limit, value, most })
        })
    }
}

/// A limit that would pass its organization's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Above {
    /// Of the limit, in the setting.
    pub index: usize,
    pub kind: Kind,
    pub value: u64,
    pub most: u64,
}

/// Percent of a quantity, at least 1.
fn percent(max: u64, share: u32) -> u64 {
    u64::try_from(u128::from(max) * u128::from(share) / 100).unwrap_or(max).max(1)
}

/// Guarantees go with the organization's limits; a ceiling is a limit on the project.
fn share_out(own: &Own, project: i64, limits: &mut Vec<Limit>) {
    let ceiling = own.share(project).ceiling;
    let mut ceilings: Vec<Limit> = Vec::new();
    for limit in limits.iter_mut().filter(|limit| matches!(limit.id.scope, Scope::Organization(_))) {
        let by_project: Vec<(i64, u64)> = own
            .projects
            .iter()
            .filter_map(|(id, share)| {
                Some((*id, u64::try_from(u128::from(limit.max) * u128::from(share.guaranteed?) / 100).ok()?))
            })
            .collect();
        if !by_project.is_empty() {
            limit.guarantees = Some(Arc::new(Guarantees { by_project }));
        }
        if let Some(share) = ceiling {
            let id = CounterId { scope: Scope::Project(project), ..limit.id.clone() };
            ceilings.push(Limit { id, max: percent(limit.max, share), guarantees: None });
        }
    }
    for one in ceilings {
        match limits.iter_mut().find(|limit| limit.id == one.id) {
            Some(limit) => limit.max = limit.max.min(one.max),
            None => limits.push(one),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::{Origin, from_text};
    use crate::policy::limits::rule::{Meter, Window};
    use crate::store::overrides::{Line, Override, Share};

    const TEXT: &str = "
hostings:
  local: {operator: X, state_operated: true, country: FR, jurisdiction: FR, qualification: none, zone: z}
models:
  - {id: a, type: chat, deployments: [{name: da, url: 'http://127.0.0.1:1/v1', engine: vllm, hosting: local}]}
  - {id: b, type: chat, deployments: [{name: db, url: 'http://127.0.0.1:1/v1', engine: vllm, hosting: local}]}
model_groups: {large: [a]}
limits: {default_plan: p}
plans:
  p:
    organization: [{tokens: 1000/day, concurrent: 10}, {models: large, requests: 60/minute}, {models: b, output: 500/day}]
    project: [{tokens: 800/day}]
    key: [{concurrent: 5}]
    member: [{requests: 5/minute}]
  gold: {weight: 4, priority: true, organization: [{tokens: 9000/day}]}
";
    const PAYER: Payer = Payer { organization: 1, project: 10, key: None, member: Some(3) };
    const DAILY: Kind = Kind::Rate { meter: Meter::Tokens, window: Window::Day };

    fn book(own: Own) -> Book {
        let config = from_text(&Origin::Embedded, TEXT, Vec::new()).unwrap();
        Book::new(&config, HashMap::from([(1, own)]))
    }

    fn told(chain: &Chain) -> Vec<String> {
        chain.limits.iter().map(|limit| format!("{} {}", limit.id, limit.max)).collect()
    }

    #[test]
    fn a_chain_holds_what_counts_the_model() {
        let book = book(Own::default());
        assert_eq!(
            told(&book.chain(&PAYER, Some("a"))),
            [
                "organization:1 * tokens/day 1000",
                "organization:1 * concurrent 10",
                "organization:1 large requests/minute 60",
                "project:10 * tokens/day 800",
                "member:3 * requests/minute 5",
            ]
        );
        assert!(told(&book.chain(&PAYER, Some("b"))).contains(&"organization:1 b output_tokens/day 500".to_owned()));
        assert_eq!(book.chain(&PAYER, None).limits.len(), 6);
    }

    #[test]
    fn overrides_replace_add_and_lift() {
        let set = |scope, models: &str, kind, value| Override { scope, models: models.to_owned(), kind, value };
        let organization = Scope::Organization(1);
        let book = book(Own {
            overrides: vec![
                set(organization, "*", DAILY, Some(2_000)),
                set(organization, "*", Kind::Concurrent, None),
                set(Scope::Project(10), "a", DAILY, Some(7)),
                set(Scope::Project(11), "a", DAILY, Some(8)),
            ],
            ..Own::default()
        });
        let told = told(&book.chain(&PAYER, Some("a")));
        assert!(told.contains(&"organization:1 * tokens/day 2000".to_owned()), "{told:?}");
        assert!(told.contains(&"project:10 a tokens/day 7".to_owned()), "{told:?}");
        assert!(!told.iter().any(|line| line.contains("concurrent") || line.contains("project:11")), "{told:?}");
    }

    #[test]
    fn shares_become_guarantees_and_ceilings() {
        let share = |guaranteed, ceiling| Share { guaranteed, ceiling, weight: None };
        let own =
            Own { projects: vec![(10, share(Some(20), Some(50))), (11, share(Some(30), None))], ..Own::default() };
        let book = book(own);
        let chain = book.chain(&PAYER, Some("a"));
        let guarantees = chain.limits[0].guarantees.as_ref().unwrap();
        assert_eq!(guarantees.by_project, [(10, 200), (11, 300)]);
        // Half of the organization's thousand is below the plan's 800.
        assert!(told(&chain).contains(&"project:10 * tokens/day 500".to_owned()), "{:?}", told(&chain));
        assert!(told(&chain).contains(&"project:10 large requests/minute 30".to_owned()), "{:?}", told(&chain));
    }

    #[test]
    fn an_organization_has_its_plan_or_the_default_one() {
        let gold = book(Own { plan: Some("gold".into()), ..Own::default() });
        assert_eq!(gold.tenant(&PAYER), TenantSettings { weight: 4, project_weight: 1, priority: true });
        assert_eq!(told(&gold.chain(&PAYER, Some("a"))), ["organization:1 * tokens/day 9000"]);
        let gone = book(Own { plan: Some("gone".into()), weight: Some(3), ..Own::default() });
        assert_eq!(gone.tenant(&PAYER).weight, 3);
        assert_eq!(gone.chain(&PAYER, Some("a")).limits.len(), 5);
    }

    #[test]
    fn nothing_passes_its_organization() {
        let book = book(Own::default());
        let setting = |value| Setting {
            limits: vec![Line { models: "*".into(), limit: DAILY, value: Some(value) }],
            ..Setting::default()
        };
        let above = |scope, value| book.above_organization(&Own::default(), scope, 1, &setting(value)).is_some();
        assert!(above(Scope::Project(10), 1_001));
        assert!(!above(Scope::Project(10), 1_000));
        assert!(!above(Scope::Organization(1), 1_001));
        // What is on all models is on each of them.
        let one = Setting {
            limits: vec![
                Line { models: "a".into(), limit: DAILY, value: Some(999) },
                Line { models: "large".into(), limit: DAILY, value: Some(1_001) },
            ],
            ..Setting::default()
        };
        let found = book.above_organization(&Own::default(), Scope::Project(10), 1, &one);
        assert_eq!(found, Some(Above { index: 1, kind: DAILY, value: 1_001, most: 1_000 }));
    }
}
