//! Roles, and where each may be held.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a member may do somewhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything that administers the instance. Held on the instance.
    Admin,
    /// Projects, members and keys of one organization.
    Manager,
    /// Keys and figures of one project.
    Builder,
    /// Evaluation. Held on the instance or one organization.
    Evaluator,
    /// Reads all, changes nothing. Held on the instance or one organization.
    Auditor,
}

impl Role {
    pub const ALL: [Role; 5] = [Role::Admin, Role::Manager, Role::Builder, Role::Evaluator, Role::Auditor];

    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Manager => "manager",
            Role::Builder => "builder",
            Role::Evaluator => "evaluator",
            Role::Auditor => "auditor",
        }
    }

    /// Whether the role means something there.
    pub const fn fits(self, scope: Scope) -> bool {
        matches!(
            (self, scope),
            (Role::Admin | Role::Evaluator | Role::Auditor, Scope::Instance)
                | (Role::Manager | Role::Evaluator | Role::Auditor, Scope::Organization(_))
                | (Role::Builder, Scope::Project { .. })
        )
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Role, String> {
        Role::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("unknown role {text:?}; use admin, manager, builder, evaluator or auditor"))
    }
}

/// Where a role is held.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scope {
    Instance,
    Organization(i64),
    Project { organization: i64, project: i64 },
}

impl Scope {
    pub const fn organization(self) -> Option<i64> {
        match self {
            Scope::Instance => None,
            Scope::Organization(organization) | Scope::Project { organization, .. } => Some(organization),
        }
    }

    pub const fn project(self) -> Option<i64> {
        match self {
            Scope::Project { project, .. } => Some(project),
            _ => None,
        }
    }
}

impl fmt::Display for Scope {
    /// `instance`, `organization:3`, `project:7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Instance => f.write_str("instance"),
            Scope::Organization(id) => write!(f, "organization:{id}"),
            Scope::Project { project, .. } => write!(f, "project:{project}"),
        }
    }
}

/// A role held somewhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Held {
    pub role: Role,
    pub scope: Scope,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_is_held_where_it_means_something() {
        let scopes = [Scope::Instance, Scope::Organization(1), Scope::Project { organization: 1, project: 2 }];
        let table = [
            (Role::Admin, [true, false, false]),
            (Role::Manager, [false, true, false]),
            (Role::Builder, [false, false, true]),
            (Role::Evaluator, [true, true, false]),
            (Role::Auditor, [true, true, false]),
        ];
        for (role, expected) in table {
            assert_eq!(scopes.map(|scope| role.fits(scope)), expected, "{role}");
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
