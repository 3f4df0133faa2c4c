//! What a step can do.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::desired::{FirewallChain, GroupLimits};
use pw_model::unit::Cpus;
use serde::{Deserialize, Serialize};

use crate::backup::step::{
    BackupRun, BaseRun, DrillRun, Kept, LogHold, LogRun, RepositoryPlace, ScratchServer, Stored, TableName,
};
use crate::promote::step::{Canary, Checkout, CommandRun, Containers, Drain, Generation, Hook, Probe, Watch};
use crate::prove::step::{BlastRun, ProbeRun};
use crate::rehearse::Rehearsal;
use crate::scratch::DatabaseCopy;
use crate::seed::step::{CachePlace, DatabasePlace, SampleRun, TakeRun, VaultRun};

/// One call to the outside world. Closed, and idempotent by contract: doing it twice is doing it once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// Puts the stored text with this hash at `path`, atomically, readable by the owner only.
    InstallFile {
        path: String,
        hash: String,
    },
    /// Stores the present content of `path` under its hash, so that it can be installed again.
    KeepFile {
        path: String,
        hash: String,
    },
    RemoveFile {
        path: String,
    },
    MakeFolder {
        path: String,
    },
    /// Makes a folder in which every user of a container may write; the folder above it keeps others out.
    MakeSharedFolder {
        path: String,
    },
    /// Makes a folder that only its owner can enter.
    MakePrivateFolder {
        path: String,
    },
    /// Removes the folder if it is empty; what somebody wrote into it stays.
    RemoveFolder {
        path: String,
    },
    /// Removes the folder with all that is in it.
    RemoveTree {
        path: String,
    },
    /// Writes a fresh random value to `path` unless there is a file.
    GenerateSecret {
        path: String,
    },
    LimitGroup {
        limits: GroupLimits,
    },
    RemoveGroup {
        path: String,
    },
    /// Makes the chain hold exactly these rules, and leads `FORWARD` to it.
    SetFirewall {
        chain: FirewallChain,
    },
    RemoveFirewall {
        name: String,
    },
    /// Pulls the images of these services where the engine does not have them.
    PullImages {
        compose: ComposeRun,
        services: Vec<String>,
    },
    BuildImages {
        compose: ComposeRun,
        services: Vec<String>,
        /// The control group that holds the build; none where groups cannot be set.
        group: Option<String>,
    },
    /// Creates, recreates or starts the services, as Compose finds necessary.
    StartServices {
        compose: ComposeRun,
        services: Vec<String>,
    },
    /// Makes the containers of the services anew even where their configuration is as it was; volumes stay.
    RecreateServices {
        compose: ComposeRun,
        services: Vec<String>,
    },
    /// Waits until each service is healthy (or runs, where it has no healthcheck; or ended well, for a job).
    AwaitServices {
        project: String,
        services: Vec<String>,
        timeout_seconds: u64,
    },
    /// Waits until each job has ended well; a job that runs is not over, however long it has run.
    AwaitJobs {
        project: String,
        services: Vec<String>,
        timeout_seconds: u64,
    },
    /// Stops and removes the containers of the services; volumes stay.
    RemoveServices {
        project: String,
        services: Vec<String>,
    },
    RemoveNetworks {
        project: String,
        names: Vec<String>,
    },
    /// Removes volumes with their data.
    RemoveVolumes {
        project: String,
        names: Vec<String>,
    },
    JoinNetwork {
        container: String,
        network: String,
    },
    LeaveNetwork {
        container: String,
        network: String,
    },
    /// Makes Caddy run what the site files describe; `folder` is the proxy's, `admin` that of the user's own Caddy.
    LoadProxy {
        folder: String,
        admin: Option<String>,
    },
    /// Lets requests through to a service at `name:port`.
    OpenSwitch {
        path: String,
        service: String,
        address: String,
    },
    CloseSwitch {
        path: String,
        service: String,
    },
    OpenCanary {
        canary: Box<Canary>,
    },
    /// Stops the containers of the services; they stay.
    StopServices {
        project: String,
        services: Vec<String>,
    },
    /// The processes of the services stand still where they are; jobs that ended are left alone.
    FreezeServices {
        project: String,
        services: Vec<String>,
    },
    /// They go on.
    ThawServices {
        project: String,
        services: Vec<String>,
    },
    /// Each of their containers gets the little with which an environment sleeps and goes on.
    ThrottleServices {
        project: String,
        services: Vec<String>,
    },
    /// Each gets back what it had: service → ceiling, `None` for what has none.
    UnthrottleServices {
        project: String,
        ceilings: BTreeMap<String, Option<Cpus>>,
    },
    /// Writes a fresh random value to `path`, readable by the owner only, unless there is a file.
    MakeKey {
        path: String,
    },
    /// Makes a masked, proved sample as a database of its own beside the target.
    SampleDatabase {
        sample: Box<SampleRun>,
    },
    /// Makes the database of a scratch server from a backup, and compares it with the manifest.
    LoadDump {
        stored: Stored,
        server: Box<ScratchServer>,
    },
    /// Brings the files that rows name out of a backup into a folder that is made.
    TakeFiles {
        take: Box<TakeRun>,
    },
    /// Finds out what a sample of a scratch server's database would hold, and makes none.
    LookAtSample {
        from: DatabasePlace,
        /// Of the stored partywall.yaml whose rules hold.
        rules: String,
        /// Size of the cohort, where it is not that of the rules.
        size: Option<String>,
    },
    /// Gives rows of a database other values.
    RewriteRows {
        database: DatabasePlace,
        /// Of the stored text that says which.
        hash: String,
    },
    /// Gives databases other names, all at once.
    RenameDatabases {
        server: DatabasePlace,
        /// From, to; in this order.
        renames: Vec<(String, String)>,
    },
    /// Removes databases that Partywall made or set aside.
    RemoveDatabases {
        server: DatabasePlace,
        names: Vec<String>,
    },
    /// Copies the files that rows name and the target lacks to the target's staging folder.
    StageFiles {
        database: DatabasePlace,
        vault: Box<VaultRun>,
    },
    /// Puts staged files into their places, and sets aside what they replace and what no row names any more.
    SwitchFiles {
        vault: Box<VaultRun>,
    },
    /// Takes `SwitchFiles` back.
    SwitchFilesBack {
        vault: Box<VaultRun>,
    },
    /// Removes the staging folder with what was set aside in it.
    RemoveStaged {
        vault: Box<VaultRun>,
    },
    /// Empties numbered databases of a Redis by giving their content other numbers.
    SetCacheAside {
        cache: CachePlace,
        /// From, to.
        numbers: Vec<(u32, u32)>,
    },
    /// Takes `SetCacheAside` back.
    BringCacheBack {
        cache: CachePlace,
        numbers: Vec<(u32, u32)>,
    },
    /// Forgets what was set aside.
    RemoveCacheAside {
        cache: CachePlace,
        numbers: Vec<(u32, u32)>,
    },
    /// Streams a database out of a running container into one that is made for it; the source is only read.
    CopyDatabase {
        copy: DatabaseCopy,
    },
    /// Ends what a copy that was cut off still reads.
    EndCopy {
        copy: DatabaseCopy,
    },
    /// Runs jobs against a copied database, one after the other, and measures what they do to it.
    Rehearse {
        rehearsal: Rehearsal,
    },
    /// Tries from inside containers what must not succeed, and from elsewhere what must.
    ProbeWall {
        run: Box<ProbeRun>,
    },
    /// Makes containers do their worst for a while, again and again, and measures what production's visitors feel.
    Blast {
        run: Box<BlastRun>,
    },
    /// Ends every process that probes or blasts, and removes the control groups of this name.
    EndAttack {
        group: String,
    },
    /// Makes an empty repository, unless there is one.
    MakeRepository {
        repository: RepositoryPlace,
    },
    /// Puts data and configuration of an environment into a repository.
    MakeBackup {
        backup: Box<BackupRun>,
    },
    RemoveBackup {
        repository: RepositoryPlace,
        name: String,
    },
    /// Removes the backups of an environment that are no longer kept, and what only they held. Those of other projects stay.
    ForgetBackups {
        repository: RepositoryPlace,
        /// Of a plan from before it was said, nobody's.
        #[serde(default)]
        project: String,
        environment: String,
        kept: Kept,
        /// True where room is given back even if no backup goes.
        #[serde(default)]
        prune: bool,
    },
    /// Makes another place hold what the repository holds, and compares names and sizes.
    CopyRepository {
        repository: RepositoryPlace,
        /// As rclone names it.
        to: String,
    },
    /// Makes a database from a backup, and compares it with the manifest.
    RestoreDatabase {
        stored: Stored,
        /// The database of the same server whose encoding and sorting it gets.
        like: String,
        to: DatabasePlace,
    },
    /// Makes the roles of a backup that the server lacks, each as it was.
    MakeRoles {
        /// Its part is the database that needs them.
        stored: Stored,
        server: DatabasePlace,
        names: BTreeSet<String>,
    },
    /// Removes what `MakeRoles` made.
    RemoveRoles {
        server: DatabasePlace,
        names: BTreeSet<String>,
    },
    /// Makes a folder from a backup, and compares it with the manifest.
    RestoreFolder {
        stored: Stored,
        into: String,
    },
    /// Writes files of the configuration where they were; one that is there must be the backup's own.
    RestoreFiles {
        stored: Stored,
        /// Name in the backup → path.
        files: BTreeMap<String, String>,
    },
    /// Copies the key of a repository, readable by the owner only; one that is there must be the same.
    CopyKey {
        from: String,
        to: String,
    },
    /// Makes a server keep its log until a backup has it, and sets the limit of what it may hold back.
    HoldLog {
        hold: Box<LogHold>,
    },
    /// The server forgets its log again as it likes.
    ReleaseLog {
        hold: Box<LogHold>,
    },
    /// Puts what the servers' log has grown by into the repository, then lets the servers forget it.
    TakeLog {
        log: Box<LogRun>,
    },
    /// Fills the data of a server that does not run yet.
    RestoreBase {
        base: Box<BaseRun>,
    },
    /// Makes a database from one of a scratch server, and compares the two.
    CopyRestored {
        from: Box<ScratchServer>,
        /// The database of the same server whose encoding and sorting it gets.
        like: String,
        to: DatabasePlace,
    },
    /// Makes one file or folder from a folder of a backup, and compares it with its checksums.
    RestorePath {
        stored: Stored,
        /// Below the folder.
        path: String,
        into: String,
    },
    /// Makes a database that has every definition of a backup and the rows of one table, and counts them.
    RestoreTable {
        stored: Stored,
        table: TableName,
        /// The database of the same server whose encoding and sorting it gets.
        like: String,
        to: DatabasePlace,
    },
    /// Puts a table of one database into a schema of its own in another, and counts its rows.
    PlaceTable {
        from: DatabasePlace,
        table: TableName,
        to: DatabasePlace,
        schema: String,
    },
    /// Removes what `PlaceTable` made.
    RemovePlaced {
        from: DatabasePlace,
        schema: String,
    },
    /// Removes what `RestoreFolder` or `RestorePath` made.
    RemoveRestored {
        path: String,
    },
    /// Gives `new` the name `path`, and what had it the name `aside`; done already when `new` is gone.
    SwapFolders {
        path: String,
        new: String,
        aside: String,
    },
    /// Brings a backup back in a scratch place and tries it.
    Drill {
        drill: Box<DrillRun>,
    },
    /// Puts the files of a commit into a folder that is made.
    CheckOut {
        checkout: Checkout,
    },
    /// Creates the containers of a new generation, which do not run yet and have no name on any network but the edge.
    MakeGeneration {
        compose: ComposeRun,
        generation: Box<Generation>,
    },
    StartContainers {
        containers: Containers,
    },
    /// Waits until each container is healthy, or runs where it has no healthcheck.
    AwaitContainers {
        containers: Containers,
        timeout_seconds: u64,
    },
    /// Stops and removes these containers; others of the service stay.
    RemoveContainers {
        containers: Containers,
    },
    /// Asks a new generation over the proxy, on a socket that no visitor reaches, until it answers well.
    Probe {
        probe: Box<Probe>,
    },
    /// Takes away the names by which other services find containers; the proxy and they themselves go on.
    WithdrawContainers {
        containers: Containers,
        /// The network on which the proxy meets them.
        edge: String,
        /// The other networks that they stay on, without a name.
        networks: Vec<String>,
    },
    /// Makes containers of a service answer to its names on the network where others call it.
    AnswerCalls {
        containers: Containers,
        network: String,
        aliases: Vec<String>,
    },
    /// Stops the containers of the services that are made otherwise, and starts them as described; no other service is touched.
    ReplaceServices {
        compose: ComposeRun,
        /// Service → config hash that its containers have then.
        services: BTreeMap<String, String>,
        /// Services whose containers run side by side for a moment.
        overlap: Vec<String>,
    },
    /// Runs a command with a service's image and variables to its end, once.
    RunCommand {
        run: Box<CommandRun>,
    },
    /// Stops and removes the container of a command, if there is one.
    EndCommand {
        run: Box<CommandRun>,
    },
    /// Runs a command of the user's on the host.
    RunHook {
        hook: Box<Hook>,
    },
    /// Removes images that no container uses.
    RemoveImages {
        names: Vec<String>,
    },
    /// Removes images by their identities; one that has got a name or a container since stays.
    RemoveUnnamedImages {
        identities: Vec<String>,
    },
    /// Removes what builds left behind and none has used for so long.
    ClearBuildCache {
        unused_seconds: u64,
    },
    /// Fails when the new generation answers worse than the one before, or than the objective.
    Watch {
        watch: Box<Watch>,
    },
    /// Waits until an address has no request in flight, or the time is over.
    Drain {
        drain: Drain,
    },
}

/// Which Compose project, from which file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposeRun {
    pub project: String,
    pub file: String,
}
