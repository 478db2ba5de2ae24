//! What a search may look into.

/// Collections, never none, and perhaps only some of their documents.
///
/// What a caller may see is decided before, by whoever knows the caller; the result is a scope, and an index answers
/// within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    collections: Vec<u64>,
    documents: Option<Vec<u64>>,
}

impl Scope {
    /// These collections; `None` when there are none, and so nothing to search.
    pub fn new(collections: impl IntoIterator<Item = u64>) -> Option<Scope> {
        let collections = distinct(collections);
        (!collections.is_empty()).then_some(Scope { collections, documents: None })
    }

    /// Only these documents of the collections; `None` when no document is left.
    pub fn only(self, documents: impl IntoIterator<Item = u64>) -> Option<Scope> {
        let mut documents = distinct(documents);
        if let Some(known) = &self.documents {
            documents.retain(|document| known.binary_search(document).is_ok());
        }
        (!documents.is_empty()).then_some(Scope { documents: Some(documents), ..self })
    }

    /// Ascending, each once.
    pub fn collections(&self) -> &[u64] {
        &self.collections
    }

    /// Ascending, each once; `None` for all documents.
    pub fn documents(&self) -> Option<&[u64]> {
        self.documents.as_deref()
    }

    /// Whether a chunk of this collection and document is inside.
    pub fn holds(&self, collection: u64, document: u64) -> bool {
        self.collections.binary_search(&collection).is_ok()
            && self.documents.as_ref().is_none_or(|documents| documents.binary_search(&document).is_ok())
    }
}

fn distinct(ids: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let mut ids: Vec<u64> = ids.into_iter().collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_search_is_no_scope() {
        assert_eq!(Scope::new([]), None);
        assert_eq!(Scope::new([1]).and_then(|scope| scope.only([])), None);
        assert_eq!(Scope::new([1]).and_then(|scope| scope.only([2])).and_then(|scope| scope.only([3])), None);
    }

    #[test]
    fn documents_narrow_and_never_widen() {
        let scope = Scope::new([3, 1, 3]).unwrap();
        assert_eq!(scope.collections(), [1, 3]);
        assert!(scope.holds(3, 9) && !scope.holds(2, 9));
        let narrow = scope.only([9, 8]).and_then(|scope| scope.only([7, 8])).unwrap();
        assert_eq!(narrow.documents(), Some(&[8][..]));
        assert!(narrow.holds(1, 8) && !narrow.holds(1, 9) && !narrow.holds(2, 8));
    }
}
