"""What a training gains from several processes: speed beside other ways, kills, and a model of larger machines."""
