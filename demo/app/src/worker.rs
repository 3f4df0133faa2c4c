//! `demo worker`: writes notifications for new posts and reports that it lives.

use std::time::Duration;

use rumqttc::{AsyncClient, Packet, Publish, QoS};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::interval;

use crate::app::{App, hostname};
use crate::backoff::Backoff;
use crate::broker::Broker;
use crate::config::Config;
use crate::{shutdown, web};

const HEARTBEAT: Duration = Duration::from_secs(5);

/// For one post, or without a number for every post nobody was told about.
const NOTIFY: &str = "
    WITH fresh AS (
        SELECT id, author_id, visibility FROM posts
        WHERE ($1::bigint IS NULL OR id = $1)
          AND NOT EXISTS (SELECT 1 FROM notifications WHERE post_id = posts.id)
    )
    INSERT INTO notifications (user_id, post_id, kind)
    SELECT author_id, id, 'published' FROM fresh
    UNION ALL
    SELECT follower_id, id, 'followed' FROM fresh
    JOIN follows ON followed_id = author_id
    WHERE visibility = 'public'
    ON CONFLICT DO NOTHING";

const BEAT: &str = "
    INSERT INTO worker_heartbeats (worker, environment, release)
    VALUES ($1, $2, $3)
    ON CONFLICT (worker) DO UPDATE
    SET environment = $2, release = $3, seen_at = now()";

enum Task {
    /// The broker is back: messages may have been lost meanwhile.
    CatchUp,
    Post(Publish),
}

#[derive(Deserialize)]
struct NewPost {
    post_id: i64,
}

pub async fn run(config: Config) -> anyhow::Result<()> {
    let stop = shutdown::on_signal()?;
    let client_id =
        config.mqtt.client_id.clone().unwrap_or_else(|| format!("demo-{}-worker", config.environment));
    let (broker, events) = Broker::new(&config.mqtt, client_id, true);
    let (inbox, tasks) = unbounded_channel();
    let receive = receiver(broker.client.clone(), broker.topic.clone(), inbox);
    let connection = broker.drive(events, receive);
    let app = App::new(config, broker, stop)?;
    let listener = TcpListener::bind(("0.0.0.0", app.config.port)).await?;
    tracing::info!("worker of {} release {} started", app.config.environment, app.config.release);
    let health = axum::serve(listener, web::health_only(app.clone()))
        .with_graceful_shutdown(app.stop.clone().cancelled_owned());
    let (served, (), ()) = tokio::join!(health.into_future(), beat(&app), work(&app, tasks));
    app.broker.finish(connection).await;
    tracing::info!("worker stopped");
    Ok(served?)
}

fn receiver(client: AsyncClient, topic: String, inbox: UnboundedSender<Task>) -> impl FnMut(Packet) + Send {
    move |packet| {
        let task = match packet {
            Packet::ConnAck(_) => {
                if let Err(error) = client.try_subscribe(&topic, QoS::AtLeastOnce) {
                    tracing::error!("cannot subscribe to {topic}: {error}");
                }
                Task::CatchUp
            }
            Packet::Publish(publish) => Task::Post(publish),
            _ => return,
        };
        if inbox.send(task).is_err() {
            tracing::warn!("a message arrived while stopping; it will come again");
        }
    }
}

async fn work(app: &App, mut tasks: UnboundedReceiver<Task>) {
    loop {
        tokio::select! {
            biased;
            () = app.stop.cancelled() => return,
            task = tasks.recv() => match task {
                Some(task) => perform(app, task).await,
                None => return,
            },
        }
    }
}

/// A message is acknowledged only after its notifications are stored, so
/// that the broker repeats what a stopped worker left unfinished.
async fn perform(app: &App, task: Task) {
    let post_id = match &task {
        Task::CatchUp => None,
        Task::Post(publish) => match serde_json::from_slice::<NewPost>(&publish.payload) {
            Ok(message) => Some(message.post_id),
            Err(error) => {
                tracing::warn!("a message is unreadable: {error}");
                return acknowledge(app, &task);
            }
        },
    };
    let mut backoff = Backoff::new();
    while let Err(error) = notify(app, post_id).await {
        tracing::warn!("notifications wait: {error:#}");
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = backoff.pause() => {}
        }
    }
    acknowledge(app, &task);
}

fn acknowledge(app: &App, task: &Task) {
    if let Task::Post(publish) = task {
        if let Err(error) = app.broker.client.try_ack(publish) {
            tracing::warn!("a message stays unacknowledged: {error}");
        }
    }
}

async fn notify(app: &App, post_id: Option<i64>) -> anyhow::Result<()> {
    let client = app.database.client().await?;
    let written = client.execute(NOTIFY, &[&post_id]).await?;
    match post_id {
        Some(post_id) => tracing::info!("post {post_id}: {written} notifications"),
        None => tracing::info!("caught up: {written} notifications"),
    }
    Ok(())
}

async fn beat(app: &App) {
    let mut clock = interval(HEARTBEAT);
    let name = format!("{}-{}", app.config.environment, hostname());
    loop {
        tokio::select! {
            () = app.stop.cancelled() => return,
            _ = clock.tick() => {}
        }
        if let Err(error) = beat_once(app, &name).await {
            tracing::warn!("heartbeat failed: {error:#}");
        }
    }
}

async fn beat_once(app: &App, name: &str) -> anyhow::Result<()> {
    let client = app.database.client().await?;
    let config = &app.config;
    client.execute(BEAT, &[&name, &config.environment, &config.release]).await?;
    Ok(())
}
