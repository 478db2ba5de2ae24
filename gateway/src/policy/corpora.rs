//! Who may read and who may change which collections. The one place: queries on collections, documents and chunks are not
//! written without a [`Reading`] or a [`Writing`], and only this file makes them.
//!
//! | collection is | read by | changed by |
//! |---|---|---|
//! | `private` | its project | its project |
//! | `shared` | every project of its organization | its project |
//! | `public` | every project of the instance | its project |
//!
//! Members: an auditor reads what there is, a manager also changes what their organization has, a builder stands for their
//! project. What may not be read is like what does not exist.

use super::identity::{Owner, Principal};
use super::role::{Role, Scope};
use crate::store::sql::Sql;

/// Which collections someone may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading(Rule);

/// Which collections someone may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writing(Rule);

#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Rule {
    /// Every collection of the instance.
    all: bool,
    /// Every collection of these organizations.
    organizations: Vec<i64>,
    /// Those of these projects.
    projects: Vec<i64>,
    /// Those that this organization shares with its projects.
    shared: Option<i64>,
    /// Those open to the instance.
    public: bool,
}

impl Reading {
    pub fn of(who: &Principal) -> Reading {
        let mut rule = changes(who);
        match who.owner() {
            Owner::Project(project) => {
                rule.shared = Some(project.organization_id);
                rule.public = true;
            }
            Owner::Member(member) => {
                rule.all |= who.can_read_instance();
                for held in &member.grants {
                    match (held.role, held.scope) {
                        (Role::Auditor, Scope::Organization(id)) => rule.organizations.push(id),
                        (Role::Builder, Scope::Project { organization, .. }) => rule.shared = Some(organization),
                        _ => {}
                    }
                }
                rule.public = rule != Rule::default();
            }
        }
        Reading(rule)
    }

    /// Of someone with access to the machine's command line.
    pub fn of_the_machine() -> Reading {
        Reading(Rule { all: true, ..Rule::default() })
    }

    /// ` AND (…)` on a table of collections with this alias.
    pub(crate) fn narrow(&self, sql: &mut Sql, collections: &'static str) {
        self.0.narrow(sql, collections);
    }
}

impl Writing {
    pub fn of(who: &Principal) -> Writing {
        Writing(changes(who))
    }

    /// Of someone with access to the machine's command line.
    pub fn of_the_machine() -> Writing {
        Writing(Rule { all: true, ..Rule::default() })
    }

    /// ` AND (…)` on a table of collections with this alias.
    pub(crate) fn narrow(&self, sql: &mut Sql, collections: &'static str) {
        self.0.narrow(sql, collections);
    }

    /// Whether what a project has may be changed: what a new collection needs.
    pub fn covers(&self, organization: i64, project: i64) -> bool {
        self.0.all || self.0.organizations.contains(&organization) || self.0.projects.contains(&project)
    }
}

fn changes(who: &Principal) -> Rule {
    let mut rule = Rule { all: who.can_administer(), ..Rule::default() };
    match who.owner() {
        Owner::Project(project) => rule.projects.push(project.project_id),
        Owner::Member(member) => {
            for held in &member.grants {
                match (held.role, held.scope) {
                    (Role::Manager, Scope::Organization(id)) => rule.organizations.push(id),
                    (Role::Builder, Scope::Project { project, .. }) => rule.projects.push(project),
                    _ => {}
                }
            }
        }
    }
    rule
}

impl Rule {
    fn narrow(&self, sql: &mut Sql, table: &'static str) {
        if self.all {
            return;
        }
        sql.push(" AND (").push(table).push(".organization_id IN ").bind_list(self.organizations.iter().copied());
        sql.push(" OR ").push(table).push(".project_id IN ").bind_list(self.projects.iter().copied());
        if let Some(organization) = self.shared {
            sql.push(" OR (").push(table).push(".visibility IN ('shared', 'public') AND ");
            sql.push(table).push(".organization_id = ").bind(organization).push(")");
        }
        if self.public {
            sql.push(" OR ").push(table).push(".visibility = 'public'");
        }
        sql.push(")");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::identity::tests::member;

    fn rule(organizations: &[i64], projects: &[i64], shared: Option<i64>, public: bool) -> Rule {
        Rule { all: false, organizations: organizations.to_vec(), projects: projects.to_vec(), shared, public }
    }

    #[test]
    fn each_role_reads_and_changes_what_the_table_says() {
        let all = |public| Rule { all: true, public, ..Rule::default() };
        let (mine, product) = (Scope::Organization(1), Scope::Project { organization: 1, project: 10 });
        let table = [
            (member(&[]), Rule::default(), Rule::default()),
            (member(&[(Role::Evaluator, mine)]), Rule::default(), Rule::default()),
            (member(&[(Role::Admin, Scope::Instance)]), all(true), all(false)),
            (member(&[(Role::Auditor, Scope::Instance)]), all(true), Rule::default()),
            (member(&[(Role::Auditor, mine)]), rule(&[1], &[], None, true), Rule::default()),
            (member(&[(Role::Manager, mine)]), rule(&[1], &[], None, true), rule(&[1], &[], None, false)),
            (member(&[(Role::Builder, product)]), rule(&[], &[10], Some(1), true), rule(&[], &[10], None, false)),
        ];
        for (who, reading, writing) in table {
            assert_eq!((Reading::of(&who).0, Writing::of(&who).0), (reading, writing), "{:?}", who.grants());
        }
    }

    #[test]
    fn a_new_collection_needs_a_project_that_may_be_changed() {
        let manager = Writing::of(&member(&[(Role::Manager, Scope::Organization(1))]));
        assert!(manager.covers(1, 10) && !manager.covers(2, 20));
        let builder = Writing::of(&member(&[(Role::Builder, Scope::Project { organization: 1, project: 10 })]));
        assert!(builder.covers(1, 10) && !builder.covers(1, 11));
        assert!(Writing::of_the_machine().covers(7, 7) && !Writing::of(&member(&[])).covers(1, 10));
    }
}
