//! What is kept up: KPIs, and materialized views.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::OutputColumn;
use crate::analysis::duration::Span;
use crate::catalog::{Definitions, Object, View};
use crate::dialect::{Definition, Kind};
use crate::relation::{step_ns_of, step_of};

/// Something that is kept up.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    /// What `sys.watermark` calls it: the name of a KPI, `public.NAME` for a view.
    pub(super) name: String,
    pub(super) version: u64,
    pub(super) query: String,
    pub(super) of: Of,
}

#[derive(Debug, Clone)]
pub(super) enum Of {
    Kpi(Arc<Object>),
    View(Arc<View>),
}

/// What a view is called here.
pub(super) fn key_of(view: &str) -> String {
    format!("{}.{view}", crate::lower::PUBLIC)
}

/// The columns of a view, as its query gives them.
pub(super) fn columns_of(view: &View) -> Vec<OutputColumn> {
    let column = |column: &crate::catalog::ViewColumn| OutputColumn {
        name: column.name.clone(),
        data_type: column.data_type.clone(),
        nullable: true,
    };
    view.columns.iter().map(column).collect()
}

/// All of them, by name. A KPI comes before a view of the same name.
pub(super) fn all(definitions: &Definitions) -> BTreeMap<String, Subject> {
    let views = definitions.views.values().filter(|view| view.is_continuous).map(|view| Subject {
        name: key_of(&view.name),
        version: view.version(),
        query: view.query.clone(),
        of: Of::View(view.clone()),
    });
    let kpis = definitions.of_kind(Kind::Kpi).filter_map(|object| match &object.definition {
        Definition::Kpi(kpi) => Some(Subject {
            name: object.name.clone(),
            version: object.version,
            query: kpi.query.text.clone(),
            of: Of::Kpi(object.clone()),
        }),
        _ => None,
    });
    views.chain(kpis).map(|subject| (subject.name.clone(), subject)).collect()
}

impl Subject {
    /// True for the same definition of the same thing.
    pub(super) fn is_same(&self, other: &Subject) -> bool {
        match (&self.of, &other.of) {
            (Of::Kpi(one), Of::Kpi(other)) => Arc::ptr_eq(one, other),
            (Of::View(one), Of::View(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// A length of time that its definition says, in nanoseconds.
    pub(super) fn span_ns(&self, option: &str) -> Option<i64> {
        match &self.of {
            Of::Kpi(object) => Span::parse(object.definition.option_text(option)?).ok()?.fixed_ns(),
            Of::View(_) => None,
        }
    }

    /// The width of its buckets in nanoseconds, where it is known.
    pub(super) fn step_ns(&self, definitions: &Definitions) -> Option<i64> {
        match &self.of {
            Of::Kpi(object) => match &object.definition {
                Definition::Kpi(kpi) => step_ns_of(kpi, definitions),
                _ => None,
            },
            Of::View(view) => step_of(&view.query, definitions),
        }
    }
}
