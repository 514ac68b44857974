//! A database: the engine, and what all sessions share: memory, spill files and functions.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::config::Dialect;
use datafusion::execution::SessionState;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionStateDefaults, session_state::SessionStateBuilder};
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::prelude::SessionConfig;
use plimsoll_engine::{Engine, Shortcuts};

use datafusion::logical_expr::planner::ExprPlanner;

use crate::alert::{Alerts, SinkOptions};
use crate::catalog::{Catalog, View};
use crate::cooperative::CooperativeJoins;
use crate::functions::{
    CheckedIntegers, ExactAverages, ExactSums, Functions, IntegersByRounding, IntervalOperators, IntervalsByLength,
    OrderedFloats, TextAsPostgres,
};
use crate::maintained::Maintained;
use crate::ops::Ops;
use crate::privilege::{Errand, Rights, Writer};
use crate::quality::Quality;
use crate::roles::Proved;
use crate::running::Running;
use crate::{Error, Login, Result, Session};

/// The time zone of a session that sets none.
const TIME_ZONE: &str = "UTC";

/// What a sort sets aside for its last merge; less when the limit is small.
const SORT_RESERVATION_BYTES_MAX: u64 = 10 << 20;

/// Says what is wrong with the options of a sink, in a sentence.
pub type CheckSink = fn(&SinkOptions) -> std::result::Result<(), String>;

/// Limits of all queries of a database together.
#[derive(Debug, Clone)]
pub struct DatabaseOptions {
    /// Memory for sorts, groups and joins, in bytes; beyond it they spill to disk or end with [`Error::OutOfMemory`].
    pub memory_limit_bytes: u64,
    /// Where spill files go; `None` is `spill` in the data directory.
    pub spill_dir: Option<PathBuf>,
    /// Most bytes of spill files at one time.
    pub spill_limit_bytes: u64,
    /// Partitions that a query is cut into, at least 1.
    pub threads: usize,
    /// The shortcuts that queries may take; each gives the rows of the long way.
    pub shortcuts: Shortcuts,
    /// What whoever delivers finds wrong with the options of a sink, in a sentence that repeats no secret; `None` where nothing is
    /// delivered.
    pub check_sink: Option<CheckSink>,
}

impl Default for DatabaseOptions {
    fn default() -> DatabaseOptions {
        DatabaseOptions {
            memory_limit_bytes: 1 << 30,
            spill_dir: None,
            spill_limit_bytes: 16 << 30,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            shortcuts: Shortcuts::ALL,
            check_sink: None,
        }
    }
}

/// A database that sessions are opened on. Cheap to clone: clones share everything.
#[derive(Clone)]
pub struct Database {
    engine: Arc<Engine>,
    runtime: Arc<RuntimeEnv>,
    options: Arc<DatabaseOptions>,
    settings: Arc<Settings>,
    catalog: Arc<Catalog>,
    ops: Arc<Ops>,
    running: Arc<Running>,
    alerts: Arc<Alerts>,
    maintained: Arc<Maintained>,
    quality: Arc<Quality>,
    /// What answers for names that nobody has are made of, new at each start.
    secret: [u8; 32],
    proved: Arc<Proved>,
}

impl Database {
    /// Puts the query layer over an engine. Spill files that an earlier process left in the data directory are removed.
    ///
    /// # Errors
    /// [`Error::Internal`] when the spill directory cannot be made, [`Error::Catalog`] when the definitions cannot be read.
    pub fn new(engine: Arc<Engine>, options: &DatabaseOptions) -> Result<Database> {
        let runtime = Arc::new(runtime(&engine, options)?);
        let options = Arc::new(options.clone());
        let settings = Arc::new(Settings::new(&runtime, &options, TIME_ZONE)?);
        let catalog = Arc::new(Catalog::open(engine.dir())?);
        let ops = Arc::new(Ops::open(engine.dir())?);
        // A crash between the two files leaves expectations of a table that was not made, or is gone.
        catalog.forget_rules(|table| engine.table(table).is_none())?;
        let quality = Arc::new(Quality::open(&engine)?);
        Ok(Database {
            engine,
            runtime,
            options,
            settings,
            catalog,
            ops,
            running: Arc::default(),
            alerts: Arc::default(),
            maintained: Arc::default(),
            quality,
            secret: rand::random(),
            proved: Arc::default(),
        })
    }

    /// What is told from now on: changes of alerts (channel `alert`) and of incidents (`incident`), once they are durable, and
    /// what others send. Whoever is more than 4,096 behind loses the oldest and learns how many.
    pub fn notifications(&self) -> tokio::sync::broadcast::Receiver<Arc<crate::Notification>> {
        self.ops.listeners().subscribe()
    }

    /// Tells all who listen.
    pub fn notify(&self, notification: crate::Notification) {
        self.ops.listeners().send(notification);
    }

    /// How somebody who calls himself so gets in.
    pub fn login(&self, user: &str) -> Login {
        self.catalog.definitions().roles.login(user, &self.secret)
    }

    /// True when a user may log in with this password. Takes a core for some milliseconds, except for what was right before.
    pub fn is_password_of(&self, user: &str, password: &str) -> bool {
        match self.login(user) {
            Login::Password(verifier) => self.proved.fits(user, &verifier, password),
            Login::Trusted => true,
            Login::Refused(_) => false,
        }
    }

    /// Checks that a role may do something beside SQL.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub fn check_errand(&self, role: &str, errand: Errand) -> Result<()> {
        Rights::of(&self.catalog.definitions().roles, Some(role)).check_errand(errand)
    }

    /// What somebody may write beside SQL; nobody in particular may write into every table.
    pub fn writer(&self, role: Option<&str>) -> Writer {
        let definitions = self.catalog.definitions();
        let views = definitions.views.keys().filter(|view| self.engine.table(view).is_none());
        Writer::new(Rights::of(&definitions.roles, role), views.cloned().collect())
    }

    /// True once a role has a password, and whoever comes has to know one.
    pub fn has_passwords(&self) -> bool {
        self.catalog.definitions().roles.have_passwords()
    }

    /// The engine underneath, to write and to maintain.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// A new session with default settings.
    pub fn session(&self) -> Session {
        Session::new(self.clone(), self.settings.clone())
    }

    /// The views, by name.
    pub fn views(&self) -> Vec<Arc<View>> {
        self.catalog.definitions().views.values().cloned().collect()
    }

    /// The relations that definitions of the dialect are read as, by schema and name, and the views that are built in.
    pub fn relations(&self) -> Vec<DefinedRelation> {
        let definitions = self.catalog.definitions();
        let mut relations = Vec::new();
        for object in definitions.objects().filter(|object| !object.columns.is_empty()) {
            let mut columns = object.columns.clone();
            if crate::relation::has_baseline(&object.name, object.kind(), &definitions) {
                columns.extend(crate::relation::baseline_columns());
            }
            let (name, schema) = (object.name.clone(), object.kind().word());
            let (definition, comment) = (object.text(), object.comment.clone());
            relations.push(DefinedRelation { schema, name, columns, definition, comment });
        }
        relations.extend(crate::report::VIEWS.iter().map(|view| DefinedRelation {
            schema: crate::ops::SCHEMA,
            name: view.name.to_owned(),
            columns: view.columns(&self.settings.time_zone),
            definition: view.text(&definitions),
            comment: Some(view.about.to_owned()),
        }));
        relations
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub(crate) fn ops(&self) -> &Ops {
        &self.ops
    }

    pub(crate) fn alerts(&self) -> &Alerts {
        &self.alerts
    }

    pub(crate) fn maintained(&self) -> &Maintained {
        &self.maintained
    }

    pub(crate) fn quality(&self) -> &Arc<Quality> {
        &self.quality
    }

    pub(crate) fn running(&self) -> &Arc<Running> {
        &self.running
    }

    /// Settings with another time zone.
    pub(crate) fn settings(&self, time_zone: &str) -> Result<Settings> {
        Settings::new(&self.runtime, &self.options, time_zone)
    }

    /// The shortcuts that queries may take.
    pub(crate) fn shortcuts(&self) -> Shortcuts {
        self.options.shortcuts
    }

    /// # Errors
    /// What is wrong with the options of a sink, in a sentence.
    pub(crate) fn check_sink(&self, options: &SinkOptions) -> std::result::Result<(), String> {
        self.options.check_sink.map_or(Ok(()), |check| check(options))
    }

    /// Threads that a query may use.
    pub(crate) fn threads(&self) -> usize {
        self.options.threads.max(1)
    }
}

/// A relation of a definition: `kpi.NAME`, `slo.NAME`, `sla.NAME`.
#[derive(Debug, Clone, PartialEq)]
pub struct DefinedRelation {
    /// The schema that it is in: `kpi`, `slo` or `sla`.
    pub schema: &'static str,
    /// Its name there.
    pub name: String,
    /// Its columns, by name and type.
    pub columns: Vec<(String, DataType)>,
    /// The statement that defines it.
    pub definition: String,
    /// What COMMENT ON says of it.
    pub comment: Option<String>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("engine", &self.engine).field("options", &self.options).finish_non_exhaustive()
    }
}

/// What sessions with the same time zone share: DataFusion's state, to be copied for each statement, and the functions.
pub(crate) struct Settings {
    pub(crate) state: SessionState,
    pub(crate) functions: Functions,
    pub(crate) time_zone: Arc<str>,
}

impl Settings {
    fn new(runtime: &Arc<RuntimeEnv>, options: &DatabaseOptions, time_zone: &str) -> Result<Settings> {
        let time_zone: Arc<str> = time_zone.into();
        let config = config(options, &time_zone);
        let functions = Functions::new(config.options(), &time_zone);
        let mut expr_planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(IntervalOperators::new())];
        expr_planners.extend(SessionStateDefaults::default_expr_planners());
        let mut state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime.clone())
            .with_expr_planners(expr_planners)
            // The optimizer looks this one up by name; queries find functions in `functions`.
            .with_aggregate_functions(vec![first_value_udaf()])
            .with_optimizer_rules(crate::times_of_buckets::rules())
            .with_physical_optimizer_rule(Arc::new(CooperativeJoins))
            .build();
        state.register_function_rewrite(Arc::new(IntegersByRounding::new()))?;
        state.register_function_rewrite(Arc::new(CheckedIntegers::new()))?;
        state.register_function_rewrite(Arc::new(ExactSums))?;
        state.register_function_rewrite(Arc::new(ExactAverages::new()))?;
        state.register_function_rewrite(Arc::new(IntervalsByLength::new()))?;
        state.register_function_rewrite(Arc::new(OrderedFloats))?;
        state.register_function_rewrite(Arc::new(TextAsPostgres::new()))?;
        Ok(Settings { state, functions, time_zone })
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("time_zone", &self.time_zone).finish_non_exhaustive()
    }
}

/// The partitions that DataFusion cuts a query into. Each wants memory of its own; with too little for several, exchanges between
/// them would spill as well, which is slow, and in DataFusion 55 they have been seen to wait for ever when they do.
fn partitions(options: &DatabaseOptions) -> usize {
    const BYTES_PER_PARTITION: u64 = 64 << 20;
    let affordable = usize::try_from(options.memory_limit_bytes / BYTES_PER_PARTITION).unwrap_or(usize::MAX);
    options.threads.min(affordable).max(1)
}

fn config(options: &DatabaseOptions, time_zone: &str) -> SessionConfig {
    let threads = partitions(options);
    let share = options.memory_limit_bytes / (threads as u64 * 16);
    let reservation = usize::try_from(share.min(SORT_RESERVATION_BYTES_MAX)).unwrap_or(0);
    let mut config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false)
        .with_sort_spill_reservation_bytes(reservation);
    let settings = config.options_mut();
    settings.execution.time_zone = Some(time_zone.to_owned());
    settings.sql_parser.dialect = Dialect::PostgreSQL;
    settings.sql_parser.collect_spans = true;
    config
}

fn runtime(engine: &Engine, options: &DatabaseOptions) -> Result<RuntimeEnv> {
    let spill_dir = match &options.spill_dir {
        Some(dir) => dir.clone(),
        None => {
            let own = engine.dir().join("spill");
            match std::fs::remove_dir_all(&own) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(spill_error(&error)),
                _ => own,
            }
        }
    };
    let disk = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![spill_dir]))
        .with_max_temp_directory_size(options.spill_limit_bytes);
    let memory = usize::try_from(options.memory_limit_bytes).unwrap_or(usize::MAX);
    let builder = RuntimeEnvBuilder::new().with_disk_manager_builder(disk);
    Ok(builder.with_memory_pool(Arc::new(FairSpillPool::new(memory))).build()?)
}

fn spill_error(error: &std::io::Error) -> Error {
    Error::Internal(format!("cannot clear the spill directory: {error}"))
}
