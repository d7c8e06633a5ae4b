"""DeepSeek-V3 / Kimi K2 in plain torch: the definition every faster path is tested against."""
