//! The list of routes as it grows: the router, and beside it every schema that any route brings. The
//! document keeps one schema under each name and says nothing of the other; here both are seen.

use utoipa::openapi::schema::Schema;
use utoipa::openapi::{OpenApi, RefOr};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::App;

/// Schemas with their names; a name may come again.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;

/// Routes so far.
pub(super) struct Listed {
    router: OpenApiRouter<App>,
    schemas: Schemas,
}

impl Listed {
    /// No route yet, under what the document says of itself.
    pub(super) fn new(document: OpenApi) -> Self {
        Self { router: OpenApiRouter::with_openapi(document), schemas: Vec::new() }
    }

    /// Adds a path with its methods.
    pub(super) fn routes(mut self, routes: UtoipaMethodRouter<App>) -> Self {
        self.schemas.extend(routes.0.iter().cloned());
        self.router = self.router.routes(routes);
        self
    }

    /// The router, and every schema that came.
    pub(super) fn into_parts(self) -> (OpenApiRouter<App>, Schemas) {
        (self.router, self.schemas)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;
    use serde_json::Value;
    use utoipa::{PartialSchema, ToSchema};

    use super::*;
    use crate::api::listed;

    /// Names under which different things came.
    fn clashes(schemas: &Schemas) -> Vec<&str> {
        let mut first: BTreeMap<&str, Value> = BTreeMap::new();
        let mut found = Vec::new();
        for (name, schema) in schemas {
            let schema = serde_json::to_value(schema).unwrap();
            if *first.entry(name).or_insert_with(|| schema.clone()) != schema {
                found.push(name.as_str());
            }
        }
        found
    }

    #[test]
    fn no_two_answers_or_bodies_go_by_one_name() {
        let (router, schemas) = listed().into_parts();
        let document = serde_json::to_value(router.into_openapi()).unwrap();
        let kept = document["components"]["schemas"].as_object().unwrap();
        assert!(schemas.len() > kept.len() && kept.len() > 50, "{} are kept", kept.len());
        assert_eq!(clashes(&schemas), Vec::<&str>::new(), "give one of them another name");
        for (name, schema) in &schemas {
            assert_eq!(kept.get(name), Some(&serde_json::to_value(schema).unwrap()), "{name}");
        }
    }

    #[test]
    fn two_types_of_one_name_are_found() {
        mod one {
            #[derive(super::Serialize, super::ToSchema)]
            pub(super) struct Shown {
                name: String,
            }
        }
        mod other {
            #[derive(super::Serialize, super::ToSchema)]
            pub(super) struct Shown {
                number: u32,
            }
        }
        let of = |name: std::borrow::Cow<'static, str>, schema| (name.into_owned(), schema);
        let one_schema = of(one::Shown::name(), one::Shown::schema());
        let other_schema = of(other::Shown::name(), other::Shown::schema());
        let twice = vec![one_schema.clone(), one_schema.clone()];
        assert_eq!(clashes(&twice), Vec::<&str>::new());
        assert_eq!(clashes(&vec![one_schema, other_schema]), ["Shown"]);
    }
}
