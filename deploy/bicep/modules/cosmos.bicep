// The source: roles within the Cosmos account, each for what it is needed for, and the lease container.
//
// One after the other, definitions and assignments alike: an account refuses with 412 what would change its roles while another change is under way. So each
// depends on the one before it; where nobody restores, what is left out is skipped, and so the first assignment depends on the last definition of both cases.

param accountName string
param containers array
param leaseDatabase string
param leaseContainer string
param principalId string
param restorePrincipalId string

resource account 'Microsoft.DocumentDB/databaseAccounts@2024-05-15' existing = {
  name: accountName
}

resource leaseDatabaseResource 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2024-05-15' existing = {
  parent: account
  name: leaseDatabase
}

// Its identity may not make containers, so this does. No time to live: a lease that expires is a hole in the history.
resource leases 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2024-05-15' = {
  parent: leaseDatabaseResource
  name: leaseContainer
  properties: {
    resource: {
      id: leaseContainer
      partitionKey: {
        paths: [
          '/id'
        ]
        kind: 'Hash'
      }
    }
  }
}

resource metadataReader 'Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions@2024-05-15' = {
  parent: account
  name: guid(account.id, 'cosmirror metadata')
  properties: {
    roleName: 'cosmirror metadata'
    type: 'CustomRole'
    assignableScopes: [
      account.id
    ]
    permissions: [
      {
        dataActions: [
          'Microsoft.DocumentDB/databaseAccounts/readMetadata'
        ]
      }
    ]
  }
  dependsOn: [
    leases
  ]
}

resource sourceReader 'Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions@2024-05-15' = {
  parent: account
  name: guid(account.id, 'cosmirror source')
  properties: {
    roleName: 'cosmirror source'
    type: 'CustomRole'
    assignableScopes: [
      account.id
    ]
    permissions: [
      {
        dataActions: [
          'Microsoft.DocumentDB/databaseAccounts/readMetadata'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/readChangeFeed'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/executeQuery'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/read'
        ]
      }
    ]
  }
  dependsOn: [
    metadataReader
  ]
}

resource leaseKeeper 'Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions@2024-05-15' = {
  parent: account
  name: guid(account.id, 'cosmirror leases')
  properties: {
    roleName: 'cosmirror leases'
    type: 'CustomRole'
    assignableScopes: [
      account.id
    ]
    permissions: [
      {
        dataActions: [
          'Microsoft.DocumentDB/databaseAccounts/readMetadata'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/executeQuery'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/readChangeFeed'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/create'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/read'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/replace'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/upsert'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/delete'
        ]
      }
    ]
  }
  dependsOn: [
    sourceReader
  ]
}

resource readsMetadata 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-05-15' = {
  parent: account
  name: guid(account.id, principalId, 'metadata')
  properties: {
    roleDefinitionId: metadataReader.id
    principalId: principalId
    scope: account.id
  }
  dependsOn: [
    leaseKeeper
    restorer
  ]
}

@batchSize(1)
resource readsSources 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-05-15' = [for followed in containers: {
  parent: account
  name: guid(account.id, principalId, 'source', followed.database, followed.container)
  properties: {
    roleDefinitionId: sourceReader.id
    principalId: principalId
    scope: '${account.id}/dbs/${followed.database}/colls/${followed.container}'
  }
  dependsOn: [
    readsMetadata
  ]
}]

resource keepsLeases 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-05-15' = {
  parent: account
  name: guid(account.id, principalId, 'leases', leaseDatabase, leaseContainer)
  properties: {
    roleDefinitionId: leaseKeeper.id
    principalId: principalId
    scope: '${account.id}/dbs/${leaseDatabase}/colls/${leaseContainer}'
  }
  dependsOn: [
    readsSources
  ]
}

// Who restores writes to the followed containers; the daemon's identity cannot.
resource restorer 'Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions@2024-05-15' = if (!empty(restorePrincipalId)) {
  parent: account
  name: guid(account.id, 'cosmirror restore')
  properties: {
    roleName: 'cosmirror restore'
    type: 'CustomRole'
    assignableScopes: [
      account.id
    ]
    permissions: [
      {
        dataActions: [
          'Microsoft.DocumentDB/databaseAccounts/readMetadata'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/readChangeFeed'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/executeQuery'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/*'
        ]
      }
    ]
  }
  dependsOn: [
    leaseKeeper
  ]
}

@batchSize(1)
resource restoresSources 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-05-15' = [for followed in containers: if (!empty(restorePrincipalId)) {
  parent: account
  name: guid(account.id, restorePrincipalId, 'restore', followed.database, followed.container)
  properties: {
    roleDefinitionId: restorer.id
    principalId: restorePrincipalId
    scope: '${account.id}/dbs/${followed.database}/colls/${followed.container}'
  }
  dependsOn: [
    keepsLeases
  ]
}]

resource restorerReadsMetadata 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-05-15' = if (!empty(restorePrincipalId)) {
  parent: account
  name: guid(account.id, restorePrincipalId, 'metadata')
  properties: {
    roleDefinitionId: metadataReader.id
    principalId: restorePrincipalId
    scope: account.id
  }
  dependsOn: [
    restoresSources
  ]
}

resource restorerReadsLeases 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-05-15' = if (!empty(restorePrincipalId)) {
  parent: account
  name: guid(account.id, restorePrincipalId, 'leases', leaseDatabase, leaseContainer)
  properties: {
    roleDefinitionId: sourceReader.id
    principalId: restorePrincipalId
    scope: '${account.id}/dbs/${leaseDatabase}/colls/${leaseContainer}'
  }
  dependsOn: [
    restorerReadsMetadata
  ]
}

output endpoint string = account.properties.documentEndpoint
