#!/bin/sh
echo "requirepass $REDISPASS" > /redis.conf
exec redis-server /redis.conf
