//! Sessions in Redis: a random token that leads to a user id for one day.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, Client, RedisResult};
use uuid::Uuid;

const LIMIT: Duration = Duration::from_secs(2);
pub const LIFETIME_SECONDS: u64 = 24 * 60 * 60;

#[derive(Clone)]
pub struct Sessions {
    redis: ConnectionManager,
}

impl Sessions {
    /// Does not connect yet, so Redis may still be starting.
    pub fn new(url: &str) -> RedisResult<Self> {
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(2)
            .set_connection_timeout(Some(LIMIT))
            .set_response_timeout(Some(LIMIT));
        let redis = ConnectionManager::new_lazy_with_config(Client::open(url)?, config)?;
        Ok(Self { redis })
    }

    pub async fn open(&self, user_id: i64) -> RedisResult<String> {
        let token = Uuid::new_v4().simple().to_string();
        let mut redis = self.redis.clone();
        let () = redis.set_ex(key(&token), user_id, LIFETIME_SECONDS).await?;
        Ok(token)
    }

    pub async fn user_id(&self, token: &str) -> RedisResult<Option<i64>> {
        self.redis.clone().get(key(token)).await
    }

    pub async fn ping(&self) -> RedisResult<()> {
        redis::cmd("PING").query_async(&mut self.redis.clone()).await
    }
}

fn key(token: &str) -> String {
    format!("session:{token}")
}
