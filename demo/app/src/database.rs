//! The PostgreSQL connection pool. It connects when first asked.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use tokio_postgres::NoTls;

const LIMIT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Database {
    pool: Pool,
}

impl Database {
    pub fn new(config: tokio_postgres::Config) -> anyhow::Result<Self> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config, NoTls, recycling);
        let pool = Pool::builder(manager)
            .max_size(8)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(LIMIT))
            .create_timeout(Some(LIMIT))
            .recycle_timeout(Some(LIMIT))
            .build()?;
        Ok(Self { pool })
    }

    pub async fn client(&self) -> Result<Object, PoolError> {
        self.pool.get().await
    }

    pub async fn ping(&self) -> anyhow::Result<()> {
        self.client().await?.query_one("SELECT 1", &[]).await?;
        Ok(())
    }
}
