//! 50 clients on a small pool, each with prepared statements as tokio-postgres makes them by
//! itself. Arguments: connection string, clients, turns.

use futures_util::{future::try_join_all, pin_mut, TryStreamExt};
use tokio_postgres::{error::SqlState, types::ToSql, NoTls};

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn client(dsn: String, number: i32, turns: i32) -> Result<(), Failure> {
    let (mut client, connection) = tokio_postgres::connect(&dsn, NoTls).await?;
    let driver = tokio::spawn(connection);
    let echo = client.prepare("select $1::int4, $2::text").await?;
    for turn in 0..turns {
        let text = format!("{number}.{turn}");
        // One that was prepared earlier, one that is prepared for this call alone.
        let row = client.query_one(&echo, &[&number, &text]).await?;
        assert_eq!((row.get::<_, i32>(0), row.get::<_, String>(1)), (number, text.clone()));
        let row = client.query_one("select $1::text", &[&text]).await?;
        assert_eq!(row.get::<_, String>(0), text);

        // Requests of one client are pipelined when they are polled together.
        let many: Vec<_> = (0..10).map(|n| format!("{text}.{n}")).collect();
        let values: Vec<[&(dyn ToSql + Sync); 2]> =
            many.iter().map(|v| [&number as &(dyn ToSql + Sync), v as _]).collect();
        let rows = try_join_all(values.iter().map(|v| client.query_one(&echo, v))).await?;
        for (row, sent) in rows.iter().zip(&many) {
            assert_eq!(&row.get::<_, String>(1), sent);
        }

        let failed = client.query("select 10 / $1::int4", &[&0i32]).await.unwrap_err();
        assert_eq!(failed.code(), Some(&SqlState::DIVISION_BY_ZERO));

        let transaction = client.transaction().await?;
        transaction
            .execute("insert into t (client, v) values ($1, $2)", &[&number, &text])
            .await?;
        let portal = transaction.bind("select generate_series(1, 40)", &[]).await?;
        let mut sum = 0;
        loop {
            let rows = transaction.query_portal(&portal, 7).await?;
            if rows.is_empty() {
                break;
            }
            sum += rows.iter().map(|r| r.get::<_, i32>(0)).sum::<i32>();
        }
        assert_eq!(sum, 820);
        transaction.commit().await?;
    }
    let rows = client
        .query_raw("select v from t where client = $1", [&number as &(dyn ToSql + Sync)])
        .await?;
    pin_mut!(rows);
    let mut count = 0;
    while rows.try_next().await?.is_some() {
        count += 1;
    }
    assert_eq!(count, turns);
    drop(echo);
    drop(client);
    driver.await??;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let (clients, turns) = (arguments[2].parse()?, arguments[3].parse()?);
    let tasks = (0..clients).map(|n| tokio::spawn(client(arguments[1].clone(), n, turns)));
    for done in try_join_all(tasks).await? {
        done?;
    }
    println!("all {clients} clients are done");
    Ok(())
}
