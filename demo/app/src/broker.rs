//! The MQTT connection: it comes back by itself, and everything this
//! environment says stays below its own topic prefix.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::backoff::Backoff;
use crate::config::Mqtt;

const FLUSH: Duration = Duration::from_secs(2);
const WAITING: usize = 256;

#[derive(Clone)]
pub struct Broker {
    pub client: AsyncClient,
    pub topic: String,
    online: Arc<AtomicBool>,
}

impl Broker {
    /// Nothing is sent before the event loop is driven by [`Broker::drive`].
    pub fn new(config: &Mqtt, client_id: String, keep_session: bool) -> (Self, EventLoop) {
        let mut options = MqttOptions::new(client_id, &config.host, config.port);
        options.set_keep_alive(Duration::from_secs(15));
        options.set_clean_session(!keep_session);
        options.set_manual_acks(true);
        let (client, events) = AsyncClient::new(options, WAITING);
        let broker = Self {
            client,
            topic: format!("{}/posts/new", config.prefix),
            online: Arc::new(AtomicBool::new(false)),
        };
        (broker, events)
    }

    pub fn is_online(&self) -> bool {
        self.online.load(Ordering::Relaxed)
    }

    /// Queues the message; it is sent when the broker is reachable again.
    /// A post that was lost here all the same is found by the worker later.
    pub fn announce_post(&self, post_id: i64) {
        let message = serde_json::json!({ "post_id": post_id }).to_string();
        let queued = self.client.try_publish(&self.topic, QoS::AtLeastOnce, false, message);
        if let Err(error) = queued {
            tracing::warn!("post {post_id} was not announced: {error}");
        }
    }

    /// Keeps the connection going in a task of its own.
    pub fn drive(&self, events: EventLoop, on_packet: impl FnMut(Packet) + Send + 'static) -> JoinHandle<()> {
        tokio::spawn(drive(events, self.online.clone(), on_packet))
    }

    /// Sends what is queued, then disconnects.
    pub async fn finish(&self, task: JoinHandle<()>) {
        let abort = task.abort_handle();
        if self.client.try_disconnect().is_err() || timeout(FLUSH, task).await.is_err() {
            tracing::warn!("the broker was away while stopping");
            abort.abort();
        }
    }
}

async fn drive(mut events: EventLoop, online: Arc<AtomicBool>, mut on_packet: impl FnMut(Packet) + Send) {
    let mut backoff = Backoff::new();
    loop {
        match events.poll().await {
            Ok(Event::Outgoing(Outgoing::Disconnect)) => return,
            Ok(Event::Outgoing(_)) => {}
            Ok(Event::Incoming(packet)) => {
                if matches!(packet, Packet::ConnAck(_)) {
                    tracing::info!("connected to the broker");
                    online.store(true, Ordering::Relaxed);
                    backoff.reset();
                }
                on_packet(packet);
            }
            Err(error) => {
                online.store(false, Ordering::Relaxed);
                tracing::warn!("broker is away: {error}");
                backoff.pause().await;
            }
        }
    }
}
