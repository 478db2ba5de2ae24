//! Who calls, and what they may do. Everything is denied unless a method here allows it.

pub mod directory;
pub mod failures;

use std::fmt;
use std::sync::Arc;

pub use crate::store::first_admin::{FirstAdmin, ensure_first_admin};
pub use directory::Directory;

use super::key::KeyId;
use super::role::{Held, Role, Scope};
use crate::config::DataClass;
use crate::prompts::Cleaning;
use crate::store::page::Reach;
use crate::store::{Actor, Via};

/// The holder of a valid key. Cheap to clone.
#[derive(Clone)]
pub struct Principal(Arc<Inner>);

struct Inner {
    key_id: KeyId,
    expires_at: Option<i64>,
    owner: Owner,
}

/// Whose key it is.
#[derive(Clone, Debug)]
pub enum Owner {
    Project(ProjectKey),
    Member(MemberKey),
}

/// A key that calls models for one project.
#[derive(Clone, Debug)]
pub struct ProjectKey {
    pub organization_id: i64,
    pub organization: String,
    pub project_id: i64,
    pub project: String,
    pub data_class: DataClass,
    pub cleaning: Cleaning,
    /// The member of this organization who made the key: their limits count it.
    pub made_by: Option<i64>,
    /// Version of the notice under which content may be kept; absent: none is.
    pub notice: Option<Arc<str>>,
}

/// A key that acts with one member's roles.
#[derive(Clone, Debug)]
pub struct MemberKey {
    pub member_id: i64,
    pub email: String,
    pub name: String,
    pub organization_id: Option<i64>,
    pub organization: Option<String>,
    pub grants: Vec<Held>,
}

impl Principal {
    /// `expires_at` in Unix milliseconds.
    pub fn new(key_id: KeyId, expires_at: Option<i64>, owner: Owner) -> Principal {
        Principal(Arc::new(Inner { key_id, expires_at, owner }))
    }

    /// Who pays for what the gateway does by itself for a project. `task`, six letters, begins the name that records know
    /// it by.
    pub fn of_task(task: &str, project: ProjectKey) -> Principal {
        let name = format!("{task}{:010}", project.project_id.unsigned_abs() % 10_000_000_000);
        // Sixteen letters and digits are always a name.
        let key = KeyId::parse(&name).unwrap_or_else(KeyId::nobody);
        Principal::new(key, None, Owner::Project(project))
    }

    /// Public id of the key, as records name it.
    pub fn key_id(&self) -> &str {
        self.0.key_id.as_str()
    }

    /// The same, to look things up by.
    pub fn key(&self) -> KeyId {
        self.0.key_id
    }

    /// Unix milliseconds.
    pub fn expires_at(&self) -> Option<i64> {
        self.0.expires_at
    }

    pub fn is_expired(&self, now: i64) -> bool {
        self.0.expires_at.is_some_and(|at| at <= now)
    }

    pub fn owner(&self) -> &Owner {
        &self.0.owner
    }

    pub fn project(&self) -> Option<&ProjectKey> {
        match &self.0.owner {
            Owner::Project(project) => Some(project),
            Owner::Member(_) => None,
        }
    }

    pub fn member(&self) -> Option<&MemberKey> {
        match &self.0.owner {
            Owner::Project(_) => None,
            Owner::Member(member) => Some(member),
        }
    }

    /// The organization of the key; `None` for a member of the instance.
    pub fn organization_id(&self) -> Option<i64> {
        match &self.0.owner {
            Owner::Project(project) => Some(project.organization_id),
            Owner::Member(member) => member.organization_id,
        }
    }

    pub fn organization_name(&self) -> Option<&str> {
        match &self.0.owner {
            Owner::Project(project) => Some(&project.organization),
            Owner::Member(member) => member.organization.as_deref(),
        }
    }

    pub fn project_id(&self) -> Option<i64> {
        self.project().map(|project| project.project_id)
    }

    pub fn member_id(&self) -> Option<i64> {
        self.member().map(|member| member.member_id)
    }

    /// The class of what this key sends; for a member's key, which calls no model, the strictest.
    pub fn data_class(&self) -> DataClass {
        self.project().map_or(DataClass::Sensitive, |project| project.data_class)
    }

    /// What is taken off around the answers this key gets.
    pub fn cleaning(&self) -> Cleaning {
        self.project().map(|project| project.cleaning).unwrap_or_default()
    }

    pub fn grants(&self) -> &[Held] {
        self.member().map_or(&[], |member| &member.grants)
    }

    /// How the audit trail names whoever changes something with this key.
    pub fn actor(&self) -> Actor {
        Actor { via: Via::Api, key_id: Some(self.key_id().to_owned()), member_id: self.member_id() }
    }

    fn holds(&self, role: Role, scope: Scope) -> bool {
        self.grants().contains(&Held { role, scope })
    }

    /// Chat, completions, embeddings, rerank: keys of projects only, so that each call has a data class and a payer.
    pub fn can_call_models(&self) -> bool {
        self.project().is_some()
    }

    /// Organizations, members of the instance, roles on the instance.
    pub fn can_administer(&self) -> bool {
        self.holds(Role::Admin, Scope::Instance)
    }

    /// Projects, members, roles and keys of an organization.
    pub fn can_manage(&self, organization: i64) -> bool {
        self.can_administer() || self.holds(Role::Manager, Scope::Organization(organization))
    }

    /// Opening a collection of an organization to the whole instance, moving it to another project, lowering its class.
    pub fn can_publish(&self, organization: i64) -> bool {
        self.can_manage(organization)
    }

    /// Keys of a project.
    pub fn can_build(&self, organization: i64, project: i64) -> bool {
        self.can_manage(organization) || self.holds(Role::Builder, Scope::Project { organization, project })
    }

    /// Everything of the instance, changing nothing.
    pub fn can_read_instance(&self) -> bool {
        self.can_administer() || self.holds(Role::Auditor, Scope::Instance)
    }

    /// Everything of an organization, changing nothing.
    pub fn can_read(&self, organization: i64) -> bool {
        self.can_read_instance()
            || self.can_manage(organization)
            || self.holds(Role::Auditor, Scope::Organization(organization))
    }

    /// A project, its keys and its figures.
    pub fn can_read_project(&self, organization: i64, project: i64) -> bool {
        self.can_read(organization) || self.can_build(organization, project)
    }

    /// Content kept in an organization, changing nothing: those who evaluate and those who audit, nobody else.
    pub fn can_read_content(&self, organization: i64) -> bool {
        self.can_evaluate(Some(organization))
            || self.holds(Role::Auditor, Scope::Instance)
            || self.holds(Role::Auditor, Scope::Organization(organization))
    }

    /// What [`Principal::can_read_content`] allows.
    pub fn content_reach(&self) -> Reach {
        let mut organizations = Vec::new();
        for held in self.grants() {
            match (held.role, held.scope) {
                (Role::Evaluator | Role::Auditor, Scope::Instance) => return Reach::Everything,
                (Role::Evaluator | Role::Auditor, Scope::Organization(id)) => organizations.push(id),
                _ => {}
            }
        }
        Reach::Only { organizations, projects: Vec::new() }
    }

    /// Evaluation in an organization; `None` is the instance.
    pub fn can_evaluate(&self, organization: Option<i64>) -> bool {
        self.holds(Role::Evaluator, Scope::Instance)
            || organization.is_some_and(|id| self.holds(Role::Evaluator, Scope::Organization(id)))
    }

    /// Metrics of the process, state of the engines.
    pub fn can_read_metrics(&self) -> bool {
        self.can_read_instance()
    }

    /// Another key for oneself: those whose role changes something.
    pub fn can_make_own_keys(&self) -> bool {
        self.grants().iter().any(|held| matches!(held.role, Role::Admin | Role::Manager | Role::Builder))
    }

    /// What lists of the administration show: what [`Principal::can_read`] and
    /// [`Principal::can_read_project`] allow.
    pub fn reach(&self) -> Reach {
        if self.can_read_instance() {
            return Reach::Everything;
        }
        let mut organizations = Vec::new();
        let mut projects = Vec::new();
        for held in self.grants() {
            match (held.role, held.scope) {
                (Role::Manager | Role::Auditor, Scope::Organization(id)) => organizations.push(id),
                (Role::Builder, Scope::Project { project, .. }) => projects.push(project),
                _ => {}
            }
        }
        Reach::Only { organizations, projects }
    }

    /// Whose usage may be seen: a project's key sees its project's.
    pub fn usage_reach(&self) -> Reach {
        match &self.0.owner {
            Owner::Project(project) => Reach::project(project.project_id),
            Owner::Member(_) => self.reach(),
        }
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Principal({})", self.0.key_id)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn member(grants: &[(Role, Scope)]) -> Principal {
        let id = KeyId::parse("0123456789abcdef").unwrap();
        let grants = grants.iter().map(|(role, scope)| Held { role: *role, scope: *scope }).collect();
        let member = MemberKey {
            member_id: 1,
            email: "a@b".into(),
            name: "A".into(),
            organization_id: None,
            organization: None,
            grants,
        };
        Principal::new(id, None, Owner::Member(member))
    }

    fn project() -> Principal {
        let id = KeyId::parse("0123456789abcdef").unwrap();
        let project = ProjectKey {
            organization_id: 1,
            organization: "O".into(),
            project_id: 10,
            project: "P".into(),
            data_class: DataClass::Internal,
            cleaning: Cleaning::default(),
            made_by: None,
            notice: None,
        };
        Principal::new(id, None, Owner::Project(project))
    }

    /// Every role against every operation, in organization 1 and project 10, then in the neighbour's: 2 and 20.
    #[test]
    fn the_matrix_of_roles() {
        let mine = Scope::Organization(1);
        let operations = |who: &Principal| {
            [
                who.can_call_models(),
                who.can_administer(),
                who.can_read_instance(),
                who.can_read_metrics(),
                who.can_make_own_keys(),
                who.can_evaluate(None),
                who.can_manage(1),
                who.can_build(1, 10),
                who.can_read(1),
                who.can_read_project(1, 10),
                who.can_evaluate(Some(1)),
                who.can_manage(2),
                who.can_build(2, 20),
                who.can_read(2),
                who.can_read_project(2, 20),
                who.can_evaluate(Some(2)),
                // A neighbour project of the same organization.
                who.can_build(1, 11),
                who.can_read_project(1, 11),
            ]
        };
        let (y, n) = (true, false);
        let table = [
            ("project key", project(), [y, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n]),
            ("no role", member(&[]), [n; 18]),
            (
                "admin",
                member(&[(Role::Admin, Scope::Instance)]),
                [n, y, y, y, y, n, y, y, y, y, n, y, y, y, y, n, y, y],
            ),
            ("manager", member(&[(Role::Manager, mine)]), [n, n, n, n, y, n, y, y, y, y, n, n, n, n, n, n, y, y]),
            (
                "builder",
                member(&[(Role::Builder, Scope::Project { organization: 1, project: 10 })]),
                [n, n, n, n, y, n, n, y, n, y, n, n, n, n, n, n, n, n],
            ),
            (
                "evaluator here",
                member(&[(Role::Evaluator, mine)]),
                [n, n, n, n, n, n, n, n, n, n, y, n, n, n, n, n, n, n],
            ),
            (
                "evaluator",
                member(&[(Role::Evaluator, Scope::Instance)]),
                [n, n, n, n, n, y, n, n, n, n, y, n, n, n, n, y, n, n],
            ),
            ("auditor here", member(&[(Role::Auditor, mine)]), [n, n, n, n, n, n, n, n, y, y, n, n, n, n, n, n, n, y]),
            (
                "auditor",
                member(&[(Role::Auditor, Scope::Instance)]),
                [n, n, y, y, n, n, n, n, y, y, n, n, n, y, y, n, n, y],
            ),
        ];
        for (name, who, expected) in table {
            assert_eq!(operations(&who), expected, "{name}");
        }
    }

    #[test]
    fn lists_reach_what_may_be_read() {
        assert_eq!(member(&[]).reach(), Reach::Only { organizations: vec![], projects: vec![] });
        assert_eq!(member(&[(Role::Auditor, Scope::Instance)]).reach(), Reach::Everything);
        assert_eq!(member(&[(Role::Manager, Scope::Organization(3))]).reach(), Reach::organization(3));
        assert_eq!(member(&[(Role::Evaluator, Scope::Instance)]).reach(), member(&[]).reach());
        assert_eq!(project().reach(), member(&[]).reach());
        assert_eq!(project().usage_reach(), Reach::project(10));
    }

    #[test]
    fn expiry_is_exclusive() {
        let id = KeyId::parse("0123456789abcdef").unwrap();
        let who = Principal::new(id, Some(1_000), project().owner().clone());
        assert!(!who.is_expired(999) && who.is_expired(1_000));
        assert!(!project().is_expired(i64::MAX));
    }
}
