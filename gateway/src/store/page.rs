//! A slice of a list.

/// Which part of a list is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub limit: i64,
    pub offset: i64,
    /// Only objects of exactly this name (of this address, for members).
    pub name: Option<String>,
    pub order: Order,
    pub descending: bool,
}

/// What a list is sorted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    #[default]
    Id,
    Name,
    Created,
}

impl Page {
    /// Everything, oldest first.
    pub const ALL: Page = Page { limit: i64::MAX, offset: 0, name: None, order: Order::Id, descending: false };

    /// The end of a query on a table named by its only alias, `t`, whose name column is `name`.
    pub(super) fn close(&self, sql: &mut super::sql::Sql, name: &'static str) {
        sql.push(" ORDER BY ");
        match self.order {
            Order::Id => sql.push("t.id"),
            Order::Name => sql.push(name),
            Order::Created => sql.push("t.created_at"),
        };
        sql.push(if self.descending { " DESC, t.id DESC" } else { ", t.id" });
        sql.push(" LIMIT ").bind(self.limit).push(" OFFSET ").bind(self.offset);
    }
}

/// Objects of a list, and how many there are in all.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed<T> {
    pub items: Vec<T>,
    pub total: i64,
}

/// What a list may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    Everything,
    /// What belongs to these organizations, and these projects.
    Only {
        organizations: Vec<i64>,
        projects: Vec<i64>,
    },
}

impl Reach {
    pub fn organization(id: i64) -> Reach {
        Reach::Only { organizations: vec![id], projects: Vec::new() }
    }

    pub fn project(id: i64) -> Reach {
        Reach::Only { organizations: Vec::new(), projects: vec![id] }
    }

    /// ` AND (…)`, given the columns that hold the organization and the project.
    pub(super) fn narrow(&self, sql: &mut super::sql::Sql, organization: &'static str, project: Option<&'static str>) {
        let Reach::Only { organizations, projects } = self else { return };
        sql.push(" AND (").push(organization).push(" IN ").bind_list(organizations.iter().copied());
        if let Some(project) = project {
            sql.push(" OR ").push(project).push(" IN ").bind_list(projects.iter().copied());
        }
        sql.push(")");
    }
}
