//! Queries whose shape depends on the question: text and values written together, with `$1` placeholders that both
//! databases take.

use futures_util::stream::BoxStream;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{Any, Arguments, AssertSqlSafe, Encode, Executor, Type};

use super::StoreError;

/// A query under construction. Only literals of ours go into the text; values are always bound.
#[derive(Default)]
pub struct Sql {
    text: String,
    values: AnyArguments,
    error: Option<String>,
}

impl Sql {
    pub fn new(text: &'static str) -> Sql {
        Sql { text: text.to_owned(), ..Sql::default() }
    }

    pub fn push(&mut self, text: &'static str) -> &mut Sql {
        self.text.push_str(text);
        self
    }

    /// Writes a placeholder and binds a value to it.
    pub fn bind<'q, T: Encode<'q, Any> + Type<Any>>(&mut self, value: T) -> &mut Sql {
        if let Err(error) = self.values.add(value) {
            self.error = Some(error.to_string());
        }
        self.text.push('$');
        self.text.push_str(&self.values.len().to_string());
        self
    }

    /// `(a, b, c)`, or `(NULL)` for none, which nothing equals.
    pub fn bind_list<'q, T: Encode<'q, Any> + Type<Any>>(&mut self, values: impl IntoIterator<Item = T>) -> &mut Sql {
        self.text.push('(');
        let mut any = false;
        for value in values {
            if any {
                self.text.push_str(", ");
            }
            any = true;
            self.bind(value);
        }
        self.text.push_str(if any { ")" } else { "NULL)" });
        self
    }

    pub async fn fetch<'e>(self, on: impl Executor<'e, Database = Any>) -> Result<Vec<AnyRow>, StoreError> {
        let (text, values) = self.finish()?;
        // Shapes are many: a statement kept for each would fill the connection's cache.
        Ok(sqlx::query_with(AssertSqlSafe(text), values).persistent(false).fetch_all(on).await?)
    }

    /// Rows as they come, for results too many to hold.
    pub fn stream<'e>(
        self,
        on: impl Executor<'e, Database = Any> + 'e,
    ) -> Result<BoxStream<'e, Result<AnyRow, sqlx::Error>>, StoreError> {
        let (text, values) = self.finish()?;
        Ok(sqlx::query_with(AssertSqlSafe(text), values).persistent(false).fetch(on))
    }

    fn finish(self) -> Result<(String, AnyArguments), StoreError> {
        match self.error {
            Some(error) => Err(StoreError::Other(error)),
            None => Ok((self.text, self.values)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bound_and_never_written() {
        let mut sql = Sql::new("SELECT 1 WHERE a = ");
        sql.bind("' OR 1=1").push(" AND b IN ").bind_list([1_i64, 2]).push(" AND c IN ").bind_list(Vec::<i64>::new());
        let (text, values) = sql.finish().unwrap();
        assert_eq!(text, "SELECT 1 WHERE a = $1 AND b IN ($2, $3) AND c IN (NULL)");
        assert_eq!(values.len(), 3);
    }
}
