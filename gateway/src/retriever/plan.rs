//! What one search may look into, decided once: the collections, their class, and what goes with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rag::Language;
use rag::analyse::Analyser;
use rag::index::{Scope, Space, VectorIndex};

use super::lanes::Memory;
use super::request::SearchRequest;
use crate::app::App;
use crate::config::DataClass;
use crate::embed::Embedder;
use crate::errand::Errands;
use crate::error::{ApiError, ApiResult};
use crate::policy::corpora::Reading;
use crate::policy::identity::Principal;
use crate::retrieval::Retrieval;
use crate::store::passages::Searched;

/// Collections that one caller may search, and how.
pub struct Plan {
    /// The highest among the caller's project and the collections.
    pub class: DataClass,
    pub(super) rerank_model: Option<String>,
    retrieval: Arc<Retrieval>,
    collections: Vec<Searched>,
    spaces: BTreeMap<Space, Vec<Part>>,
    french: Analyser,
    english: Analyser,
}

/// Collections of one space and one language.
pub(super) struct Part {
    pub(super) scope: Scope,
    pub(super) language: Language,
    pub(super) model: String,
    pub(super) dimensions: u32,
}

impl Plan {
    /// Decides for a caller and a request.
    ///
    /// # Errors
    /// 404 for a collection or document that does not exist or may not be read, which look alike; 403 when the vectors
    /// are kept where this class may not go.
    pub async fn make(app: &Arc<App>, who: &Principal, request: &SearchRequest) -> ApiResult<Plan> {
        let retrieval = app.retrieval.clone().ok_or_else(ApiError::no_such_route)?;
        let collections = collections(app, who, request).await?;
        let highest = collections.iter().map(Searched::class).max();
        let class = highest.map_or(who.data_class(), |class| class.max(who.data_class()));
        let config = app.config.load();
        if retrieval.hosting.as_ref().is_some_and(|hosting| !config.rule(class).allows(hosting)) {
            return Err(ApiError::sovereignty());
        }
        let rerank_model = config.retrieval.as_ref().and_then(|settings| settings.rerank_model.clone());
        let mut groups: BTreeMap<(Space, &str), Vec<&Searched>> = BTreeMap::new();
        for collection in &collections {
            let dimensions = usize::try_from(collection.dimensions).unwrap_or(0);
            let space = Space::new(&collection.embedding_model, dimensions);
            groups.entry((space, &collection.language)).or_default().push(collection);
        }
        let mut spaces: BTreeMap<Space, Vec<Part>> = BTreeMap::new();
        for ((space, language), members) in groups {
            let language = read_language(language);
            let scope = Scope::new(members.iter().filter_map(|collection| u64::try_from(collection.id).ok()));
            let documents = request.documents.iter().filter_map(|id| u64::try_from(*id).ok());
            let scope = match (scope, request.documents.is_empty()) {
                (Some(scope), true) => Some(scope),
                (Some(scope), false) => scope.only(documents),
                (None, _) => None,
            };
            if let (Some(scope), Some(first)) = (scope, members.first()) {
                let (model, dimensions) = (first.embedding_model.clone(), u32::try_from(first.dimensions).unwrap_or(0));
                spaces.entry(space).or_default().push(Part { scope, language, model, dimensions });
            }
        }
        let (french, english) = (Analyser::new(Language::French), Analyser::new(Language::English));
        Ok(Plan { class, rerank_model, retrieval, collections, spaces, french, english })
    }

    pub fn collections(&self) -> Vec<i64> {
        self.collections.iter().map(|collection| collection.id).collect()
    }

    /// The analysis of a collection's language.
    pub fn analyser(&self, collection: i64) -> &Analyser {
        let found = self.collections.iter().find(|one| one.id == collection);
        self.of_language(found.map_or(Language::French, |one| read_language(&one.language)))
    }

    pub fn errands(&self) -> &Errands {
        &self.retrieval.errands
    }

    pub(super) fn of_language(&self, language: Language) -> &Analyser {
        match language {
            Language::French => &self.french,
            Language::English => &self.english,
        }
    }

    /// Those of the collections searched.
    pub(super) fn analysers(&self) -> impl Iterator<Item = &Analyser> {
        let is_there = |language| self.spaces.values().flatten().any(|part| part.language == language);
        [&self.french, &self.english].into_iter().filter(move |analyser| is_there(analyser.language()))
    }

    pub(super) fn spaces(&self) -> impl Iterator<Item = (&Space, &[Part])> {
        self.spaces.iter().map(|(space, parts)| (space, parts.as_slice()))
    }

    pub(super) fn index(&self) -> &dyn VectorIndex {
        &*self.retrieval.index
    }

    pub(super) fn embedder(&self) -> &Embedder {
        &self.retrieval.embedder
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.retrieval.memory
    }

    /// Chunks of all collections searched.
    pub(super) fn chunks(&self) -> u64 {
        self.collections.iter().map(|collection| u64::try_from(collection.chunks).unwrap_or(0)).sum()
    }
}

fn read_language(code: &str) -> Language {
    if code == Language::English.code() { Language::English } else { Language::French }
}

/// The collections named, and those of the documents named where no collection is.
async fn collections(app: &App, who: &Principal, request: &SearchRequest) -> ApiResult<Vec<Searched>> {
    let reading = Reading::of(who);
    let homes = match request.documents.is_empty() {
        true => BTreeMap::new(),
        false => app.store.collections_of(&request.documents).await.map_err(ApiError::database)?,
    };
    let mut named = request.collections.clone();
    if named.is_empty() {
        named = homes.values().copied().collect();
        named.sort_unstable();
        named.dedup();
    }
    let collections = match named.is_empty() {
        true => Vec::new(),
        false => app.store.searched(&reading, &named).await.map_err(ApiError::database)?,
    };
    let is_there = |id: &i64| collections.iter().any(|collection| collection.id == *id);
    if request.collections.iter().any(|id| !is_there(id)) {
        return Err(ApiError::not_found().param("collection_ids"));
    }
    if request.documents.iter().any(|id| !homes.get(id).is_some_and(is_there)) {
        return Err(ApiError::not_found().param("document_ids"));
    }
    Ok(collections)
}
