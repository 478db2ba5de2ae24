//! The words for what is wrong with a request, in French and English.

use http::StatusCode;

use crate::error::{ApiError, short};
use crate::openai::{Expected, Remedy, WireError};
use crate::prompts::PromptError;

impl From<WireError> for ApiError {
    fn from(fault: WireError) -> ApiError {
        match fault {
            WireError::Malformed { line, column } => ApiError::bad_request(
                format!("Le corps de la requête n’est pas du JSON valable (ligne {line}, colonne {column})."),
                format!("The request body is not valid JSON (line {line}, column {column})."),
            ),
            WireError::NotUtf8 => {
                ApiError::bad_request("Le corps de la requête n’est pas en UTF-8.", "The request body is not UTF-8.")
            }
            WireError::NotAnObject => ApiError::bad_request(
                "Le corps de la requête doit être un objet JSON.",
                "The request body must be a JSON object.",
            ),
            WireError::TooDeep => ApiError::bad_request(
                "Le JSON de la requête est imbriqué trop profondément.",
                "The JSON of the request is nested too deep.",
            ),
            WireError::DuplicateKey { path } => {
                let path = short(&path);
                ApiError::bad_request(
                    format!("La clé « {path} » est écrite deux fois."),
                    format!("The key “{path}” is written twice."),
                )
                .param(path)
            }
            WireError::WrongType { field, expected } => {
                let (french, english) = type_words(expected);
                let field = short(&field);
                ApiError::bad_request(
                    format!("« {field} » n’a pas le bon type : il faut {french}."),
                    format!("“{field}” has the wrong type: {english} is expected."),
                )
                .param(field)
            }
            WireError::Missing { field } => {
                ApiError::bad_request(format!("Il manque « {field} »."), format!("“{field}” is missing.")).param(field)
            }
            WireError::ForbiddenUrl { host } => {
                let host = short(&host);
                ApiError::bad_request(
                    format!("Une adresse du message n’est pas permise ({host}) : envoyez le contenu en « data: »."),
                    format!("A URL in the message is not allowed ({host}): send its content as “data:”."),
                )
                .code("url_not_allowed")
                .param("messages")
            }
            WireError::Unsupported { field, remedy } => {
                let (french, english) = remedy_words(remedy);
                let field = short(&field);
                ApiError::bad_request(
                    format!("« {field} » n’est pas accepté ainsi : {french}."),
                    format!("“{field}” is not accepted as it is: {english}."),
                )
                .code("unsupported_value")
                .param(field)
            }
        }
    }
}

fn type_words(expected: Expected) -> (&'static str, &'static str) {
    match expected {
        Expected::String => ("un texte", "a string"),
        Expected::Boolean => ("true ou false", "true or false"),
        Expected::Count => ("un nombre entier, zéro ou plus", "a whole number, zero or more"),
        Expected::Object => ("un objet", "an object"),
        Expected::Array => ("une liste", "a list"),
        Expected::Content => ("un texte ou une liste de parties", "a string or a list of parts"),
        Expected::EmbeddingInput => (
            "un texte, une liste de textes ou des listes de tokens",
            "a string, a list of strings or lists of token ids",
        ),
        Expected::Documents => ("une liste de textes", "a list of texts"),
    }
}

fn remedy_words(remedy: Remedy) -> (&'static str, &'static str) {
    match remedy {
        Remedy::SendText => ("envoyez du texte plutôt que des tokens", "send text rather than token ids"),
        Remedy::FloatOrBase64 => ("utilisez « float » ou « base64 »", "use “float” or “base64”"),
        Remedy::ModelDimensions => (
            "demandez la dimension du modèle, ou ne mettez pas ce champ",
            "ask for the model’s own dimensions, or leave the field out",
        ),
        Remedy::SendSomething => ("envoyez au moins un élément", "send at least one item"),
    }
}

impl From<PromptError> for ApiError {
    fn from(fault: PromptError) -> ApiError {
        let (french, english) = (fault.message("fr"), fault.message("en"));
        let error = match &fault {
            PromptError::Render { id, detail } => ApiError::internal(format!("prompt {id}: {detail}")),
            PromptError::UnknownPrompt { .. }
            | PromptError::UnknownLanguage { .. }
            | PromptError::UnknownVersion { .. } => {
                ApiError::new(StatusCode::NOT_FOUND, "prompt_not_found", french, english)
            }
            PromptError::MissingVariable { .. }
            | PromptError::UnknownVariable { .. }
            | PromptError::WrongType { .. } => ApiError::bad_request(french, english).code("invalid_prompt_variable"),
        };
        match fault.param() {
            Some(name) => error.param(name),
            None => error,
        }
    }
}
